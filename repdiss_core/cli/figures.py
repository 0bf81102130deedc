"""`figure FIG --out FILE`: a figure from the cache, as HTML, JSON, CSV or SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from repdiss_core.base.errors import UserError
from repdiss_core.cli.compute import (
    check_out,
    cka_options,
    command_figure,
    seed_options,
    setting_options,
    stitch_option,
    study_options,
)
from repdiss_core.cli.flags import flag
from repdiss_core.cli.generalization import population_options
from repdiss_core.cli.scaling import TABLE_ENDINGS, family_options, write_table
from repdiss_core.studies import options

if TYPE_CHECKING:
    from repdiss_core.studies.drawn import Drawn
    from repdiss_core.studies.figure import Figure

ENDINGS = (".html", ".json", ".csv", ".svg", ".png")


@click.command()
@click.argument("figure_id")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="FILE.html, .json, .csv, .svg or .png.",
)
@setting_options
@stitch_option
@flag(options.SHOW, help="Figures 2 and 7: loss shows the accuracy.")
@seed_options
@population_options
@family_options
@cka_options
def figure(figure_id: str, out: Path, quantity: str, **choices: Any) -> None:
    """Write a figure that is in the cache (shipped, or computed by `run`)."""
    from repdiss_core.plots.theme import LOOKS
    from repdiss_core.store.cache import ResultStore
    from repdiss_core.studies.figure import NOT_COMPUTED, FigureChoice, View
    from repdiss_core.studies.paper import study_params

    found = command_figure(figure_id)
    check_out(out, ENDINGS if found.table is None else TABLE_ENDINGS)
    params_of, relative = study_options(choices)
    params, store = params_of[found.study](), ResultStore.open()
    if found.table is not None:
        write_table(out, found, found.table(store, params))
        click.echo(f"Wrote {out}.", err=True)
        return
    choice = FigureChoice(study_params(found.study, params), View(quantity, relative=relative, in_file=True))
    drawn = [card.draw(store, LOOKS["print"], NOT_COMPUTED) for card in found.cards(choice)]
    if not all(d.complete for d in drawn):
        raise UserError(
            f"{found.label or found.title} is not in the cache at these settings. Compute it first: "
            "the same options with "
            f"`python -m repdiss_core run {found.figure_id}`."
        )
    _write(out, found, drawn)
    click.echo(f"Wrote {out}.", err=True)


def _write(out: Path, found: Figure, drawn: list[Drawn]) -> None:
    from repdiss_core.plots import html_file
    from repdiss_core.studies import exports

    tables = [table for d in drawn for table in d.tables]
    if out.suffix == ".json":
        whole = {
            "figure": found.figure_id,
            "title": found.title,
            "captions": [d.caption.text for d in drawn],
            "panels": [table.to_dict() for table in tables],
        }
        out.write_text(exports.to_json(whole), encoding="utf-8")
    elif out.suffix == ".csv":
        out.write_text(exports.to_csv(tables), encoding="utf-8")
    elif out.suffix == ".html":
        out.write_text(
            html_file.figure_file(
                ": ".join(filter(None, (found.label, found.title))), [(d.figure, d.caption.text) for d in drawn]
            ),
            encoding="utf-8",
        )
    else:
        _write_image(out, drawn)


def _write_image(out: Path, drawn: list[Drawn]) -> None:
    """Through kaleido and a Chromium that is on the machine; several cards become several numbered files."""
    import os
    import shutil

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        import kaleido  # noqa: F401
    except ImportError:
        raise UserError(
            f"Writing {out.suffix} needs kaleido: `pip install -r requirements-dev.txt`. "
            "HTML, JSON and CSV need nothing."
        ) from None
    if browser is None and "BROWSER_PATH" not in os.environ:
        raise UserError(
            f"Writing {out.suffix} needs Chromium or Chrome, and none is on the PATH. Install one, or write HTML."
        )
    os.environ.setdefault("BROWSER_PATH", browser or "")
    for number, card in enumerate(drawn, start=1):
        path = out if len(drawn) == 1 else out.with_name(f"{out.stem}-{number}{out.suffix}")
        card.figure.write_image(str(path), width=1100, height=card.figure.layout.height)
