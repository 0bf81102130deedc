"""Table 1: the head dimension and the rotary dimension of every member of a family, read from configurations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from repdiss_core import hub
from repdiss_core.base.errors import UserError
from repdiss_core.models import model_spec, paper_models
from repdiss_core.models.family import ROTARY_FRACTION
from repdiss_core.models.pythia_table import PYTHIA_CONFIGS
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.figure import Figure
from repdiss_core.studies.scaling.claims import odd_shapes
from repdiss_core.studies.scaling.question import FamilyParams, members, shape_of, short_name
from repdiss_core.studies.scaling.stored import loaded
from repdiss_core.studies.tables import Table
from repdiss_core.studies.words import departure_sentence

COLUMNS = ("n_layers", "d_model", "n_heads", "d_head", "rotary_dim")
NEEDED = ("num_hidden_layers", "hidden_size", "num_attention_heads")
PUBLISHED = "published figures, shipped"
UNREADABLE = "published figures, since the fetched config.json cannot be read of"


@dataclass(frozen=True)
class HeadRow:
    """One row of the table; `shape` is what an analysis names when it calls a member odd,
    `source` where the figures are from."""

    name: str
    shape: str
    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    rotary_dim: int
    source: str = PUBLISHED


def row_of_config(name: str, config: Mapping[str, Any]) -> HeadRow:
    """The row of a GPT-NeoX configuration (config.json), old (`rotary_pct`) or new (`rope_parameters`).

    Raises:
        UserError: a key is missing, or the heads do not share the width evenly.
    """
    rotary = config.get("rotary_pct", (config.get("rope_parameters") or {}).get("partial_rotary_factor"))
    missing = [key for key in NEEDED if key not in config] + (
        [] if rotary is not None else ["rotary_pct (or rope_parameters.partial_rotary_factor)"]
    )
    if missing:
        raise UserError(
            f"The configuration of {name} lacks {', '.join(missing)}. "
            "Fetch its config.json anew or add what is missing."
        )
    n_layers, d_model, n_heads = (int(config[key]) for key in NEEDED)
    if d_model % n_heads:
        raise UserError(
            f"The configuration of {name} divides a width of {d_model} among {n_heads} heads, "
            "which leaves a remainder. Check both numbers."
        )
    d_head = d_model // n_heads
    return HeadRow(name, name, n_layers, d_model, n_heads, d_head, int(float(rotary) * d_head))


def pythia_rows() -> tuple[HeadRow, ...]:
    """The eight rows of the print: read anew from the config.json of each model that was fetched here,
    the others as published."""
    return tuple(_pythia_row(name, config) for name, config in PYTHIA_CONFIGS.items())


def _pythia_row(name: str, published: Mapping[str, Any]) -> HeadRow:
    """From a fetched model's own configuration, deduped or not (they share their shape);
    else as published, and why where a file is here."""
    unread = ""
    for model in (f"{name}-deduped", name):
        folder = hub.snapshot(paper_models.repo_of(paper_models.unpinned()[model]))
        if folder is None or not (folder / "config.json").exists():
            continue
        try:
            row = row_of_config(name, json.loads((folder / "config.json").read_text("utf-8")))
        except (
            OSError,
            ValueError,
            TypeError,
            AttributeError,
            ArithmeticError,
        ):  # told in full where the model is loaded
            unread = f"{UNREADABLE} {model}"
            continue
        return replace(row, source=f"config.json of {model}")
    return replace(row_of_config(name, published), source=unread or PUBLISHED)


def family_rows(family: str) -> tuple[HeadRow, ...]:
    """A row a shape of a bundled family."""
    rows: dict[str, HeadRow] = {}
    for name in members(family):
        spec, shape = model_spec(name), shape_of(name)
        label = short_name(name).rsplit("-s", 1)[0]
        rows.setdefault(
            shape,
            HeadRow(
                label,
                shape,
                spec.n_layers,
                spec.d_model,
                spec.n_heads,
                spec.d_head,
                int(ROTARY_FRACTION * spec.d_head),
                "facts of the bundled models",
            ),
        )
    return tuple(rows.values())


def shape_table(title: str, rows: tuple[HeadRow, ...], marks: Mapping[str, str]) -> Table:
    """The rows with what the analysis says of each; `marks` holds a sentence for each shape that it calls odd."""
    records = tuple(
        {
            "name": row.name,
            **{column: getattr(row, column) for column in COLUMNS},
            "source": row.source,
            "analysis": marks.get(row.shape),
        }
        for row in rows
    )
    return Table(title, "rows", column_labels=COLUMNS, records=records)


def shape_tables(store: ResultStore, params: FamilyParams) -> list[Table]:
    """The family's table, with what the analysis says, and the print's."""
    marks = {shape: departure_sentence(odd) for shape, odd in odd_shapes(loaded(store, params)).items()}
    return [shape_table(params.family, family_rows(params.family), marks), shape_table("pythia", pythia_rows(), {})]


TABLE1 = Figure(
    "table1",
    "scaling",
    "Head dimensions of the family",
    label="Table 1",
    shows="d_head and rotary_dim of the eight Pythia models.",
    table=shape_tables,
)
