"""The gelu and solu models of Nanda 2022: checkpoints in HookedTransformer's layout, behind the model protocol.

Imports torch.

transformer_lens' own loader lists the repository each time, so that it fails without a network; here the files are
fetched once at a pinned commit, and only its conversion of names and shapes is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources.native import boot
from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

from repdiss_core import hub
from repdiss_core.base.errors import UserError
from repdiss_core.data.tokenizer import check_size
from repdiss_core.models.checks import check_depth, read_tensors
from repdiss_core.models.files import read_json
from repdiss_core.models.hooked import HookedResidualModel
from repdiss_core.models.paper_models import repo_of, weight_files

if TYPE_CHECKING:
    from repdiss_core.models import ModelSpec

CONFIG_KEYS = ("d_model", "n_layers", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab", "act_fn")


def load_hub(
    spec: ModelSpec, resid_mean: str = "removed", dtype: str = "float32", device: str = "cpu"
) -> HookedResidualModel:
    """The model at its pinned commit; what is missing is downloaded.

    Raises:
        UserError: a configuration that is not of this family, missing or foreign weights.
    """
    repo = repo_of(spec)
    files = weight_files(hub.pin(repo).files)
    if not files:
        raise UserError(f"{repo} has no weights that RepDiss reads (model_final.pth).")
    folder = hub.fetch(repo, ["config.json", *files])
    config = bridge_config(spec.name, read_json(spec.name, folder / "config.json"))
    check_depth(spec, config.n_layers)
    check_size(spec.name, spec.tokenizer_repo, config.d_vocab)
    with torch.random.fork_rng(devices=[]):
        bridge = boot(config, model_name=spec.name)
    fill(bridge, spec.name, read_tensors(spec.name, folder, files))
    torch.nn.Module.to(bridge, device=device, dtype=getattr(torch, dtype))  # the bridge's own `to` prints
    bridge.cfg.device = device
    return HookedResidualModel(bridge, spec.name, resid_mean)


def bridge_config(name: str, form: dict[str, Any]) -> TransformerBridgeConfig:
    """The configuration from the repository's config.json, which is HookedTransformer's."""
    missing = [key for key in CONFIG_KEYS if form.get(key) is None]
    if missing:
        raise UserError(
            f"The configuration of {name} lacks {', '.join(missing)}: it is not one of the gelu and solu models."
        )
    normalization = form.get("normalization", form.get("normalization_type"))
    if form.get("attn_only") or form.get("shortformer_pos") or normalization not in ("LN", "LNPre"):
        raise UserError(
            f"{name} has attention alone, other positions or no LayerNorm ({normalization}); "
            "RepDiss reads the gelu and solu models."
        )
    return TransformerBridgeConfig(
        **{key: form[key] for key in CONFIG_KEYS},
        attn_only=False,
        normalization_type=normalization,
        positional_embedding_type="standard",
        architecture="TransformerLensNative",
    )


def fill(bridge: TransformerBridge, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Put a checkpoint under HookedTransformer's names into a bridge, every weight once.

    Only a missing unembedding bias is filled, with zeros: some of the repositories have none.
    """
    try:
        converted = convert_tl_checkpoint({key: value.float() for key, value in tensors.items()}, bridge.cfg)
        converted.setdefault("unembed.bias", torch.zeros(bridge.cfg.d_vocab))
        bridge.load_state_dict(converted, strict=True)
    except (ValueError, RuntimeError, KeyError) as error:
        told = " ".join(str(error).split())[:300]
        raise UserError(
            f"The weights of {name} are not those of its configuration: {told} Nothing was filled in; fetch them anew."
        ) from error
