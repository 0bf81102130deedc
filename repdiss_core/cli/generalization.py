"""The options of the figures of section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
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
