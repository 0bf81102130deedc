"""The bundled NLI classifiers: what there is, cheaply. Imports no torch.

They stand beside the language models of `MODELS`: they read other tokens and predict labels, so that no page offers to
stitch one into a language model. `model_spec` and `load_model` know both.
"""

from __future__ import annotations

import functools

from repdiss_core.bundled import nli
from repdiss_core.models import ModelSpec

N_LAYERS, D_MODEL, N_HEADS, LENGTH = 6, 64, 4, 32


def classifiers() -> dict[str, ModelSpec]:
    """Every trained classifier by name; empty where none was trained yet."""
    if not nli.FACTS_FILE.exists():
        return {}
    return dict(_specs(nli.FACTS_FILE.stat().st_mtime_ns))


@functools.lru_cache(maxsize=2)
def _specs(_modified: int) -> dict[str, ModelSpec]:
    known = nli.facts()
    return {name: _spec(name, facts, known) for name, facts in sorted(known["models"].items())}


def _spec(name: str, facts: dict, known: dict) -> ModelSpec:
    steps = known["recipe"]["fine_tuning"]["n_items"] * LENGTH
    return ModelSpec(
        name=name,
        source="bundled",
        architecture=(
            "BERT with LayerNorm after each addition, learned positions, a classifier of three labels on [CLS]"
        ),
        n_layers=N_LAYERS,
        d_model=D_MODEL,
        n_heads=N_HEADS,
        d_head=D_MODEL // N_HEADS,
        n_ctx=LENGTH,
        activation="gelu",
        seed=facts["classifier_seed"],
        weights=facts["weights"],
        tokenizer=known["tokenizer"],
        vocab_size=known["vocab_size"],
        n_parameters=known["n_parameters"],
        family="nli",
        group=f"nli-{facts['population']}",
        validation_loss=float("nan"),
        tokens_seen=steps,
        state="final",
        loader="repdiss_core.models.bert:load_nli",
    )


def find(name: str) -> ModelSpec | None:
    """The classifier of that name."""
    return classifiers().get(name)


def names() -> tuple[str, ...]:
    """All classifiers."""
    return tuple(classifiers())
