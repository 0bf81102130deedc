"""The figures of section 4 on the command line: their options, their request, and their drawings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from repdiss_core.base.comparison import Request

if TYPE_CHECKING:
    from repdiss_core.plots.theme import Look
    from repdiss_core.store.cache import ResultStore
    from repdiss_core.studies.drawn import Drawn
    from repdiss_core.studies.generalization.question import Params

NAMES = ("population", "k", "rank_by", "overlap", "rows", "hook", "items", "chunks")


# The paper pads to 512 tokens and takes about 1000 pairs; the quick and the tiny setting take fewer, without padding.
OUR_DEFAULTS = {"population": "natural", "k": 6, "rows": "tokens", "items": 500}
PAPER_DEFAULTS = {
    "paper": {"population": "feather", "k": 10, "rows": "padded", "items": 1000},
    "paper-quick": {"population": "feather", "k": 3, "rows": "tokens", "items": 200, "n_chunks": 4},
    "paper-tiny": {"population": "feather", "k": 2, "rows": "tokens", "items": 8, "n_chunks": 1},
}


def population_options(command: Any) -> Any:
    """--population, --k, --rank-by, --overlap, --rows, --hook, --items, --chunks: for Figures 2, 7 and 8 alone."""
    for option in reversed((
        click.option("--population", type=click.Choice(("natural", "constructed", "feather")), default=None, help="Figures 2, 7, 8: natural, constructed, or the paper's."),
        click.option("--k", type=int, default=None, help="Figures 2, 7, 8: models a group (default 6; 10 for the paper's)."),
        click.option("--rank-by", type=click.Choice(("lexical_overlap_rank", "lexical_overlap")), default="lexical_overlap_rank", show_default=True),
        click.option("--overlap", type=click.Choice(("lexical_overlap", "lexical_overlap_rank")), default="lexical_overlap", show_default=True, help="The overlap set measured on."),
        click.option("--rows", type=click.Choice(("tokens", "padded", "cls")), default=None, help="Rows of the feature matrix: tokens, or the paper's padded."),
        click.option("--hook", type=click.Choice(("mlp_out", "resid_post")), default="mlp_out", show_default=True),
        click.option("--items", type=click.IntRange(min=1), default=None, help="Pairs of sentences that stitched models classify (default 500)."),
        click.option("--chunks", type=click.IntRange(min=1), default=None, help="Chunks of feature rows (default 7, or 3 for cls)."),
    )):  # fmt: skip
        command = option(command)
    return command


def take_params(choices: dict[str, Any]) -> Params:
    """Removes the population's options from the command's choices and makes the study's parameters of them."""
    from repdiss_core.studies.generalization.question import Params
    from repdiss_core.studies.presets import preset

    taken = {name: choices.pop(name) for name in NAMES}
    setting = preset(choices["preset_name"], choices["models"])
    default = PAPER_DEFAULTS.get(setting.name, OUR_DEFAULTS)
    return Params(
        **{
            **default,
            **{{"chunks": "n_chunks"}.get(name, name): value for name, value in taken.items() if value is not None},
        }
    )


def is_population_figure(figure_id: str) -> bool:
    """Whether a figure belongs to section 4."""
    from repdiss_core.studies.paper import figure_spec

    return figure_spec(figure_id).kind == "population"


def population_request(figures: tuple[str, ...], params: Params) -> Request:
    """One request for several of these figures."""
    from repdiss_core.studies.panels import request_for
    from repdiss_core.studies.paper import figure_parts

    return request_for(
        (c for figure_id in figures for part in figure_parts(figure_id, params) for c in part.comparisons),
        params.chunks,
    )


def draw_population_figure(
    figure_id: str, store: ResultStore, params: Params, look: Look, quantity: str = "accuracy"
) -> list[Drawn]:
    """The cards of one of these figures, from the cache: the numbers are those of the page."""
    from repdiss_core.studies.generalization import fig2_fig7_curves as curves
    from repdiss_core.studies.generalization import fig8_distances as distances
    from repdiss_core.studies.generalization.question import IN_DISTRIBUTION
    from repdiss_core.studies.generalization.stored import load
    from repdiss_core.studies.paper import figure_spec

    found = load(store, params)
    name = figure_spec(figure_id).figure_id
    if name == "fig7":
        return [curves.compose_stitching(found, look, (params.overlap,), quantity)]
    if name == "fig8":
        return [distances.compose_distances(found, look, params.sets)]
    return [
        curves.compose_stitching(found, look, (IN_DISTRIBUTION,), quantity),
        curves.compose_cka(found, look, params.sets),
    ]
