"""The options of the figures of section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repdiss_core.cli.flags import flag, flags
from repdiss_core.studies import cli_options, options

if TYPE_CHECKING:
    from repdiss_core.studies.generalization.question import PopulationParams

NAMES = ("population", "k", "rank_by", "overlap", "rows", "hook", "items", "chunks")


# The paper pads to 512 tokens and takes about 1000 pairs; the quick and the tiny setting take fewer, without padding.
PAPER_DEFAULTS = {
    "paper": {"population": "feather", "k": 10, "rows": "padded", "items": 1000},
    "paper-quick": {"population": "feather", "k": 3, "rows": "tokens", "items": 200, "n_chunks": 4},
    "paper-tiny": {"population": "feather", "k": 2, "rows": "tokens", "items": 8, "n_chunks": 1},
}


# --population, --k, --rank-by, --overlap, --rows, --hook, --items, --chunks: for Figures 2, 7 and 8 alone
population_options = flags(
    flag(options.POPULATION, default=None),
    flag(options.GROUP_SIZE, default=None),
    flag(options.RANK_BY),
    flag(options.MEASURED),
    flag(options.ROWS, default=None),
    flag(options.HOOK),
    flag(cli_options.ITEMS, default=None),
    flag(cli_options.CHUNKS),
)


def take_params(choices: dict[str, Any]) -> PopulationParams:
    """Removes the population's options from the command's choices and makes the study's parameters of them."""
    from repdiss_core.studies.generalization.question import PopulationParams
    from repdiss_core.studies.presets import preset

    taken = {name: choices.pop(name) for name in NAMES}
    setting = preset(choices["preset_name"], choices["models"])
    default = PAPER_DEFAULTS.get(setting.name, {})
    return PopulationParams(
        **{
            **default,
            **{{"chunks": "n_chunks"}.get(name, name): value for name, value in taken.items() if value is not None},
        }
    )
