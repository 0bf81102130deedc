"""The options of the figures of section 5, and how a table is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repdiss_core.cli.flags import flag, flags
from repdiss_core.studies import options

if TYPE_CHECKING:
    from repdiss_core.studies.figure import Figure
    from repdiss_core.studies.scaling.question import FamilyParams
    from repdiss_core.studies.tables import Table

TABLE_ENDINGS = (".json", ".csv", ".html")


# --family and --axes: for Figures 3, 9, 10 and Table 1 alone
family_options = flags(flag(options.FAMILY, default=None, help=options.FAMILY.flag_help, free=True), flag(options.AXES))


def take_family(choices: dict[str, Any]) -> tuple[str | None, bool]:
    """Removes the family's options from the command's choices: (family, whether axes run over the fraction of the
    depth)."""
    return choices.pop("family"), choices.pop("axes") == "relative"


def family_params(family: str | None, asymmetry: Any, dtype: str | None = None) -> FamilyParams:
    """The study's parameters, with data and CKA read as the other options say."""
    from repdiss_core.studies.scaling.question import MINI, PYTHIA, FamilyParams

    setting = asymmetry.preset
    family = family or (PYTHIA if setting.models == "paper" else MINI)
    return FamilyParams(family, replace(asymmetry.cka, dtype=dtype or setting.dtype), setting)


def write_table(out: Path, figure: Figure, tables: list[Table]) -> None:
    """JSON, CSV or HTML."""
    from repdiss_core.plots.html_file import table_file
    from repdiss_core.studies import exports
    from repdiss_core.studies.tables import frame_of

    if out.suffix == ".json":
        panels = [table.to_dict() for table in tables]
        text = exports.to_json({"figure": figure.figure_id, "title": "Head dimensions", "panels": panels})
    elif out.suffix == ".csv":
        text = exports.to_csv(tables)
    else:
        text = table_file("Table 1: head dimensions", frame_of(tables))
    out.write_text(text, encoding="utf-8")
