"""Table 1: the head dimension and the rotary dimension of every member of a family, read from configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repdiss_core.errors import UserError
from repdiss_core.models import model_spec
from repdiss_core.models.family import ROTARY_FRACTION
from repdiss_core.models.pythia_table import PYTHIA_CONFIGS
from repdiss_core.studies.scaling import members, shape_of, short_name

NEEDED = ("num_hidden_layers", "hidden_size", "num_attention_heads")


@dataclass(frozen=True)
class HeadRow:
    """One row of the table; `shape` is what an analysis names when it calls a member odd."""

    name: str
    shape: str
    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    rotary_dim: int


def row_of_config(name: str, config: Mapping[str, Any]) -> HeadRow:
    """The row of a GPT-NeoX configuration (config.json), old (`rotary_pct`) or new (`rope_parameters`).

    Raises:
        UserError: a key is missing, or the heads do not share the width evenly.
    """
    rotary = config.get("rotary_pct", (config.get("rope_parameters") or {}).get("partial_rotary_factor"))
    missing = [key for key in NEEDED if key not in config] + ([] if rotary is not None else ["rotary_pct (or rope_parameters.partial_rotary_factor)"])
    if missing:
        raise UserError(f"The configuration of {name} lacks {', '.join(missing)}. Fetch its config.json anew or add what is missing.")
    n_layers, d_model, n_heads = (int(config[key]) for key in NEEDED)
    if d_model % n_heads:
        raise UserError(f"The configuration of {name} divides a width of {d_model} among {n_heads} heads, which leaves a remainder. Check both numbers.")
    d_head = d_model // n_heads
    return HeadRow(name, name, n_layers, d_model, n_heads, d_head, int(float(rotary) * d_head))


def pythia_rows() -> tuple[HeadRow, ...]:
    """The eight rows of the print, from the public configurations."""
    return tuple(row_of_config(name, config) for name, config in PYTHIA_CONFIGS.items())


def family_rows(family: str) -> tuple[HeadRow, ...]:
    """A row a shape of a bundled family."""
    rows: dict[str, HeadRow] = {}
    for name in members(family):
        spec, shape = model_spec(name), shape_of(name)
        label = short_name(name).rsplit("-s", 1)[0]
        rows.setdefault(shape, HeadRow(label, shape, spec.n_layers, spec.d_model, spec.n_heads, spec.d_head, int(ROTARY_FRACTION * spec.d_head)))
    return tuple(rows.values())


def as_form(title: str, rows: tuple[HeadRow, ...], marks: Mapping[str, str]) -> dict[str, Any]:
    """The table as plain JSON types, with what the analysis says of a row."""
    fields = ("n_layers", "d_model", "n_heads", "d_head", "rotary_dim")
    return {"title": title, "columns": list(fields), "rows": [{"name": r.name, **{f: getattr(r, f) for f in fields}, "analysis": marks.get(r.shape)} for r in rows]}
