"""The bundled GPT-NeoX family: what there is, cheaply. Imports no torch.

Final members stand in `MODELS`; the checkpoints that ship beside some of them are known to `model_spec` and
`load_model` but no picker of models offers them.
"""

from __future__ import annotations

import functools

from repdiss_core.base.errors import UserError
from repdiss_core.bundled import family
from repdiss_core.bundled.family.recipe import NeoxArchitecture
from repdiss_core.models import ModelSpec
from repdiss_core.store.storage import modified_ns

FAMILY = "mini-neox"
ROTARY_FRACTION = NeoxArchitecture.rotary_fraction


def family_models() -> dict[str, ModelSpec]:
    """The trained members by name, shallow ones first; empty where none ships."""
    found = {name: spec for name, spec in _known().items() if spec.state == "final"}
    return dict(sorted(found.items(), key=lambda item: (item[1].n_layers, item[1].d_model, -item[1].d_head, item[0])))


def family_checkpoints(name: str | None = None) -> dict[str, ModelSpec]:
    """The checkpoints that ship, of one member or of all, by name in the order of training."""
    found = {n: s for n, s in _known().items() if s.state == "intermediate" and name in (None, checkpoint_of(n))}
    return dict(sorted(found.items(), key=lambda item: (checkpoint_of(item[0]), item[1].tokens_seen)))


def checkpoint_of(name: str) -> str:
    """The member that a checkpoint belongs to; a member's own name."""
    return name.rsplit("-step", 1)[0]


def _known() -> dict[str, ModelSpec]:
    if not family.FACTS_FILE.exists():
        return {}
    places = (family.FACTS_FILE, family.weights_file("any").parent)
    return _read(tuple((str(path), modified_ns(path)) for path in places))


@functools.lru_cache(maxsize=2)
def _read(_modified: tuple[tuple[str, int], ...]) -> dict[str, ModelSpec]:
    """The members whose weights are there, as long as neither facts nor the folder of weights change."""
    known = family.facts()
    there = [(name, facts) for name, facts in known["models"].items() if family.weights_file(name).exists()]
    return {name: _spec(name, facts, known["tokenizer"]["sha256"]) for name, facts in there}


def _spec(name: str, facts: dict, tokenizer: str) -> ModelSpec:
    try:
        a = NeoxArchitecture(**facts["architecture"])
    except TypeError as error:
        raise UserError(
            f"The facts about {name} do not describe its architecture ({error}). Restore facts.json of the family."
        ) from error
    return ModelSpec(
        name=name,
        source="bundled",
        architecture=(
            "GPT-NeoX: "
            f"attention and MLP in parallel, rotary positions on {int(a.rotary_fraction * a.d_head)} of {a.d_head} "
            "dimensions"
        ),
        n_layers=a.n_layers,
        d_model=a.d_model,
        n_heads=a.n_heads,
        d_head=a.d_head,
        n_ctx=a.n_ctx,
        activation="gelu",
        seed=facts["seed"],
        weights=facts["weights"],
        tokenizer=tokenizer,
        vocab_size=a.vocab_size,
        n_parameters=facts["n_parameters"],
        family=FAMILY,
        group=facts["shape"],
        validation_loss=facts["validation_loss"],
        tokens_seen=facts["tokens_seen"],
        state="final" if facts["checkpoint_of"] is None else "intermediate",
        loader="repdiss_core.models.neox:load_family",
    )


def find(name: str) -> ModelSpec | None:
    """The member or checkpoint of that name; members may have been trained since the start."""
    return _known().get(name)


def names() -> tuple[str, ...]:
    """All members and checkpoints."""
    return tuple(_known())
