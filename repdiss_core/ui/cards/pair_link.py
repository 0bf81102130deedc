"""What a link to the page Compare models asks for, and the settings in which two such links differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from repdiss_core import hub
from repdiss_core.base.errors import UserError
from repdiss_core.data import DATASETS, TYPED
from repdiss_core.studies.common import CkaView, resid_mean_of
from repdiss_core.studies.drawn import FLATTEN_LABELS, REDUCTION_LABELS
from repdiss_core.studies.pair.question import EVERY, MEASURE_NAMES, Pair
from repdiss_core.ui.cards.pair_cards import (
    TYPED_MODELS,
    data_sets,
    first_of,
    model_names,
    setting_of,
)
from repdiss_core.ui.parts.settings import BATCHES, ESTIMATORS, MASSIVES, RESID_MEANS, STITCHES

PAGE = "Compare_models"
LONGEST = 2000
T = TypeVar("T")


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
    f, g = _model(asked, "f", first_of("gelu")), _model(asked, "g", first_of("solu"))
    setting = setting_of(f)
    view = CkaView(
        estimator=_value(asked, "estimator", ESTIMATORS, "unbiased"),
        flatten=_value(asked, "flatten", FLATTEN_LABELS, "token"),
        resid_mean=_value(asked, "mean", RESID_MEANS, "removed"),
        reduction=_value(asked, "reduction", REDUCTION_LABELS, "mean_of_ratios"),
        n_batches=_value(asked, "batches", {n: str(n) for n in BATCHES}, setting.cka_batches),
        massive=_value(asked, "massive", MASSIVES, "kept"),
    )
    measure = _value(asked, "measure", MEASURE_NAMES, "cka")
    return Pair(
        f=f,
        g=g,
        measure=measure,
        layers=EVERY,
        quantity="CKA" if measure == "cka" else _value(asked, "show", {"loss": "loss", "penalty": "penalty"}, "loss"),
        view=view,
        stitch=_value(asked, "stitch", STITCHES, setting.stitch),
        setting=replace(setting, data=_data(asked, data_sets(f)[0])),
        pins=hub.stamp(),
    )


def differing(a: Pair, b: Pair) -> list[tuple[str, str, str]]:
    """(setting, its value in A, its value in B) for the settings that differ, in the order of the page."""
    of_a, of_b = settings_of(a), settings_of(b)
    names = list(dict.fromkeys((*of_a, *of_b)))
    return [(name, of_a.get(name, "–"), of_b.get(name, "–")) for name in names if of_a.get(name) != of_b.get(name)]


def settings_of(choice: Pair) -> dict[str, str]:
    """Every setting that the numbers of a choice rest on, in words."""
    told = {
        "model f": choice.f,
        "model g": choice.g,
        "data": choice.setting.data,
        "measure": MEASURE_NAMES[choice.measure],
    }
    if choice.measure != "cka":
        told |= {"quantity": choice.quantity}
        return told | (
            {"training of the stitching layer": STITCHES[choice.stitch]} if choice.measure == "stitching" else {}
        )
    view = choice.view
    return told | {
        "estimator": ESTIMATORS[view.estimator],
        "over batches": REDUCTION_LABELS[view.reduction],
        "rows": FLATTEN_LABELS[view.flatten],
        "mean over d_model": RESID_MEANS[resid_mean_of(view, choice.f, choice.g)],
        "massive tokens": MASSIVES[view.massive],
        "batches": str(view.n_batches),
    }


def _model(asked: Mapping[str, str], key: str, default: str) -> str:
    """The model that the link names: one of the list, or one that was typed."""
    name = asked.get(key, default)
    return (
        name
        if name.startswith(TYPED_MODELS)
        else _value(asked, key, {known: known for known in model_names()}, default)
    )


def _data(asked: Mapping[str, str], default: str) -> str:
    name = asked.get("data", default)
    return name if name.startswith(TYPED) else _value(asked, "data", {known: known for known in DATASETS}, default)


def _value(asked: Mapping[str, str], key: str, names: Mapping[T, str], default: T) -> T:
    """The option whose name the link gives."""
    if key not in asked:
        return default
    found = next((value for value, name in names.items() if name == asked[key]), None)
    if found is None:
        offered = ", ".join(list(names.values())[:8]) + (" …" if len(names) > 8 else "")
        raise UserError(
            f"The link asks for {key} “{asked[key][:60]}”, which this page does not offer. It offers {offered}."
        )
    return found
