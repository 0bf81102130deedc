"""What a link to the page Compare models asks for, and the settings in which two such links differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from repdiss_core import hub
from repdiss_core.base.errors import UserError
from repdiss_core.base.option import MOST_SHOWN, Option
from repdiss_core.data import DATASETS
from repdiss_core.measures import measure_spec
from repdiss_core.studies import options
from repdiss_core.studies.common import CkaView, resid_mean_of, view_fields
from repdiss_core.studies.pair.question import Pair
from repdiss_core.studies.rows import on_data
from repdiss_core.ui.cards.pair_cards import data_sets, model_options, setting_of

PAGE = "Compare_models"
LONGEST = 2000


def choice_of(link: str) -> Pair:
    """The choice that a link of the page stands for; what it leaves out has the value of a fresh page.

    Raises:
        UserError: a link to another page, or a value that the page does not offer.
    """
    try:
        parts = urlsplit(link.strip()[:LONGEST])
    except ValueError as error:
        raise UserError(
            "This is no link. Paste a link of the page Compare models, as its Link button gives it."
        ) from error
    if parts.path and parts.path.rstrip("/").rsplit("/", 1)[-1] != PAGE:
        raise UserError(
            "This link leads to another page. Paste a link of the page Compare models, as its Link button gives it."
        )
    asked = dict(parse_qsl(parts.query))
    f, g = (_value(asked, option) for option in model_options())
    setting = setting_of(f)
    measure = _value(asked, options.MEASURE)
    spec = measure_spec(measure)
    view = CkaView(
        estimator=_value(asked, options.ESTIMATOR),
        flatten=_value(asked, options.FLATTEN),
        resid_mean=_value(asked, options.RESID_MEAN),
        reduction=_value(asked, options.REDUCTION),
        n_batches=_value(asked, options.BATCHES.starting_at(setting.cka_batches)),
        massive=_value(asked, options.MASSIVE),
        rows=_value(asked, options.PAIR_ROWS),
        chance=_value(asked, options.CHANCE),
        embedding=_value(asked, options.EMBEDDING),
        special=_value(asked, options.SPECIAL),
        **view_fields(spec, lambda option: _value(asked, option)),
    )
    data = options.DATA.offering(list(DATASETS), data_sets(f)[0])
    return Pair(
        f=f,
        g=g,
        measure=measure,
        layers="every",
        quantity=spec.short if spec.of_features else _value(asked, options.SHOW),
        view=view,
        stitch=_value(asked, options.STITCH.starting_at(setting.stitch)),
        setting=on_data(setting, _value(asked, data)),
        pins=hub.stamp(),
    )


def differing(a: Pair, b: Pair) -> list[tuple[str, str, str]]:
    """(setting, its value in A, its value in B) for the settings that differ, in the order of the page."""
    of_a, of_b = settings_of(a), settings_of(b)
    names = list(dict.fromkeys((*of_a, *of_b)))
    return [(name, of_a.get(name, "–"), of_b.get(name, "–")) for name in names if of_a.get(name) != of_b.get(name)]


def settings_of(choice: Pair) -> dict[str, str]:
    """Every setting that the numbers of a choice rest on, in words."""
    shown = {
        "model f": choice.f,
        "model g": choice.g,
        "data": choice.setting.data,
        "measure": options.MEASURE.label_of(choice.measure),
    }
    spec = measure_spec(choice.measure)
    if not spec.of_features:
        shown |= {"quantity": choice.quantity}
        stitch = options.STITCH
        return shown | ({stitch.label.lower(): stitch.label_of(choice.stitch)} if choice.measure == "stitching" else {})
    view = choice.view
    resid_mean = resid_mean_of(view, choice.f, choice.g)
    chosen = {"estimator": view.estimator, **dict(view.chosen)}
    own = {o.label.lower(): o.label_of(chosen.get(o.id, o.default)) for o in spec.options}
    over = {"over batches": options.REDUCTION.label_of(view.reduction)} if spec.name == "cka" else {}
    return shown | {
        **own,
        **over,
        "compared at": options.PAIR_ROWS.label_of(view.rows),
        "rows": options.FLATTEN.label_of(view.flatten),
        "mean over d_model": options.RESID_MEAN.label_of(resid_mean),
        "massive tokens": options.MASSIVE.label_of(view.massive),
        "first layer": options.EMBEDDING.label_of(view.embedding),
        "special tokens": options.SPECIAL.label_of(view.special),
        "batches": str(view.n_batches),
    }


def _value(asked: Mapping[str, str], option: Option) -> Any:
    """What the link says of an option."""
    text = asked.get(option.id)
    if text is None:
        return option.default
    if not option.accepts(text):
        raise UserError(
            f"The link asks for {option.id} “{text[:MOST_SHOWN]}”, which this page does not offer. "
            f"It offers {option.offered}."
        )
    return option.parse(text)
