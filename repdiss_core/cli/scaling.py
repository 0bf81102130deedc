"""The figures of section 5 on the command line: their options, their request, their drawings, and Table 1."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from repdiss_core.base.comparison import Request

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look
    from repdiss_core.store.cache import ResultStore
    from repdiss_core.studies.drawn import Drawn
    from repdiss_core.studies.scaling.question import Params

TABLE_ENDINGS = (".json", ".csv", ".html")


def family_options(command: Any) -> Any:
    """--family and --axes: for Figures 3, 9, 10 and Table 1 alone."""
    for option in reversed((
        click.option("--family", default=None, help="Figures 3, 9, 10, Table 1: mini-neox or pythia (default: that of the models)."),
        click.option("--axes", type=click.Choice(("layers", "relative")), default="layers", show_default=True, help="Figures 3, 9, 10: layers, or fraction of the depth."),
    )):  # fmt: skip
        command = option(command)
    return command


def take_family(choices: dict[str, Any]) -> tuple[str | None, bool]:
    """Removes the family's options from the command's choices: (family, whether axes run over the fraction of the depth)."""
    return choices.pop("family"), choices.pop("axes") == "relative"


def family_params(family: str | None, asymmetry: Any, dtype: str | None = None) -> Params:
    """The study's parameters, with data and CKA read as the other options say."""
    from repdiss_core.studies.scaling.question import MINI, PYTHIA, Params

    setting = asymmetry.preset
    family = family or (PYTHIA if setting.models == "paper" else MINI)
    return Params(family, replace(asymmetry.cka, dtype=dtype or setting.dtype), setting)


def family_request(figures: tuple[str, ...], params: Params) -> Request | None:
    """One request for several of these figures; None where they need nothing computed."""
    from repdiss_core.studies.panels import request_for
    from repdiss_core.studies.paper import figure_parts

    comparisons = [c for figure_id in figures for part in figure_parts(figure_id, params) for c in part.comparisons]
    return request_for(comparisons, params.cka.n_batches) if comparisons else None


def draw_family_figure(figure_id: str, store: ResultStore, params: Params, look: Look, relative: bool) -> list[Drawn]:
    """The card of one of these figures, from the cache: the numbers are those of the page."""
    from repdiss_core.studies.scaling.fig3_fig9_fig10_maps import compose_figure
    from repdiss_core.studies.scaling.stored import load

    return [compose_figure(store, load(store, params), figure_id, look, relative)]


def table_forms(store: ResultStore, params: Params) -> list[dict[str, Any]]:
    """Table 1 as plain JSON types: the family's, with what the analysis says, and the print's."""
    from repdiss_core.studies.scaling.claims import odd_shapes
    from repdiss_core.studies.scaling.stored import load
    from repdiss_core.studies.scaling.table1 import as_form, family_rows, pythia_rows
    from repdiss_core.studies.words import departure_sentence

    marks = {shape: departure_sentence(departure) for shape, departure in odd_shapes(load(store, params)).items()}
    return [
        as_form(params.family, family_rows(params.family), marks),
        as_form("pythia", pythia_rows(), {}),
    ]


def write_table(out: Path, forms: list[dict[str, Any]]) -> None:
    """JSON, CSV or HTML."""
    from repdiss_core.plots import html_file as html_export
    from repdiss_core.studies import exports

    columns = ["family", "name", *forms[0]["columns"], "source", "analysis"]
    rows = [
        [form["title"], row["name"], *(row[c] for c in form["columns"]), row["source"], row["analysis"] or ""]
        for form in forms
        for row in form["rows"]
    ]
    if out.suffix == ".json":
        out.write_text(
            exports.to_json({"figure": "table1", "title": "Head dimensions", "panels": forms}), encoding="utf-8"
        )
    elif out.suffix == ".csv":
        text = io.StringIO()
        csv.writer(text).writerows([columns, *rows])
        out.write_text(text.getvalue(), encoding="utf-8")
    else:
        out.write_text(html_export.table_file("Table 1: head dimensions", columns, rows), encoding="utf-8")
