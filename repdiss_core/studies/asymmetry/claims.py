"""The paper's claims, judged by what the stored results show; no verdict is ever typed in.

A claim about *these models* rests on an interval over evaluation sequences. A claim about *the activation function*
rests on an interval over seeds, and is undecided under three of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from repdiss_core.analysis.intervals import MIN_SEEDS, Differences, over_crossed_seeds, over_samples
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.claims import FAILS, HOLDS, MISSING, UNDECIDED, Claim, Effect
from repdiss_core.studies.panels import CurveSpec, load_stitch


@dataclass(frozen=True)
class _Contrast:
    """A claim "the first costs more than the second at every layer"; each side is (f, g) by role names."""

    sentence: str
    more: tuple[str, str]
    less: tuple[str, str]
    ours: bool = False


# "gelu*" is another seed than "gelu".
CONTRASTS = (
    _Contrast(
        "Feeding SoLU into GeLU costs more than feeding GeLU into SoLU, at every layer.",
        ("solu", "gelu"),
        ("gelu", "solu"),
    ),
    _Contrast("SoLU into GeLU costs more than GeLU into itself, at every layer.", ("solu", "gelu"), ("gelu", "gelu")),
    _Contrast("GeLU into SoLU costs more than GeLU into itself, at every layer.", ("gelu", "solu"), ("gelu", "gelu")),
    _Contrast("GeLU into itself costs more than SoLU into itself, at every layer.", ("gelu", "gelu"), ("solu", "solu")),
    _Contrast(
        "SoLU into GeLU costs more than another GeLU model into it, at every layer.",
        ("solu", "gelu"),
        ("gelu*", "gelu"),
        True,
    ),
    _Contrast(
        "GeLU into SoLU costs more than another SoLU model into it, at every layer.",
        ("gelu", "solu"),
        ("solu*", "solu"),
        True,
    ),
)


def asymmetry_claims(store: ResultStore, params: asymmetry.Params) -> list[Claim]:
    """Every claim of section 3 for the chosen depth, seeds and stitching preset, in both scopes."""
    claims = []
    for contrast in CONTRASTS:
        claims.append(_for_these_models(store, params, contrast))
        claims.append(_for_the_activation(store, params, contrast))
    return claims


def headline(store: ResultStore, params: asymmetry.Params) -> str:
    """One computed sentence for the top of the page: the asymmetry, over seeds where there are enough."""
    claim, wide = asymmetry_claims(store, params)[:2]
    if claim.verdict == MISSING:
        return "The stitches of this pair are not computed yet."
    return claim.found if wide.verdict == MISSING else f"{claim.found} {wide.found}"


def judge(differences: Differences) -> str:
    """ "holds" where every layer's simultaneous interval lies above 0, "does not hold" where some lies below, else "undecided"."""
    if differences.all_above_zero:
        return HOLDS
    return FAILS if differences.some_below_zero else UNDECIDED


def _for_these_models(store: ResultStore, params: asymmetry.Params, contrast: _Contrast) -> Claim:
    chosen = {"gelu": params.seed_gelu, "solu": params.seed_solu}
    more, less = (_penalties(store, params, side, chosen) for side in (contrast.more, contrast.less))
    if more is None or less is None:
        return Claim(
            contrast.sentence, "these models", MISSING, "Not computed at this setting.", "", "fig1", contrast.ours
        )
    differences = over_samples(more - less)
    rests = f"{params.gelu} and {params.solu}; {differences.n} evaluation sequences, paired; 95 % t intervals joint over {len(more)} layers"
    return Claim(
        contrast.sentence,
        "these models",
        judge(differences),
        _sentence(differences, "for these two models"),
        rests,
        "fig1",
        contrast.ours,
        _deciding(differences),
    )


def _for_the_activation(store: ResultStore, params: asymmetry.Params, contrast: _Contrast) -> Claim:
    scope = "the activation function"
    n_gelu, n_solu = (asymmetry.seeds(kind, params.depth, params.preset.models) for kind in ("gelu", "solu"))
    if min(len(n_gelu), len(n_solu)) < MIN_SEEDS:
        found = f"{len(n_gelu)} GeLU and {len(n_solu)} SoLU seeds are too few for an interval over seeds; {MIN_SEEDS} are needed."
        return Claim(contrast.sentence, scope, UNDECIDED, found, "", "fig1", contrast.ours)
    table = [[_cell(store, params, contrast, g, s) for s in n_solu] for g in n_gelu]
    if any(cell is None for row in table for cell in row):
        return Claim(
            contrast.sentence,
            scope,
            MISSING,
            "Not every pair of seeds is computed at this setting.",
            "",
            "fig1",
            contrast.ours,
        )
    differences = over_crossed_seeds(np.array(table))
    assert differences is not None
    n_pairs = len(n_gelu) * len(n_solu)
    rests = f"{n_pairs} pairs of {len(n_gelu)} GeLU and {len(n_solu)} SoLU seeds, crossed; 95 % t intervals joint over {params.depth} layers"
    return Claim(
        contrast.sentence,
        scope,
        judge(differences),
        _sentence(differences, f"over {n_pairs} seed pairs"),
        rests,
        "fig1",
        contrast.ours,
        _deciding(differences),
    )


def _deciding(differences: Differences) -> Effect:
    """The layer that a claim "at every layer" hangs on: one where it is reversed, else the one whose interval reaches lowest."""
    layer = int(np.argmin(differences.upper if judge(differences) == FAILS else differences.lower))
    return Effect(
        float(differences.mean[layer]),
        float(differences.lower[layer]),
        float(differences.upper[layer]),
        "nats a token",
        f"layer {layer + 1}",
    )


def _cell(store: ResultStore, params: asymmetry.Params, contrast: _Contrast, gelu: int, solu: int) -> np.ndarray | None:
    """(L,) mean difference for one pair of seeds."""
    more, less = (
        _penalties(store, params, side, {"gelu": gelu, "solu": solu}) for side in (contrast.more, contrast.less)
    )
    return None if more is None or less is None else (more - less).mean(axis=1)


def _penalties(
    store: ResultStore, params: asymmetry.Params, side: tuple[str, str], chosen: dict[str, int]
) -> np.ndarray | None:
    """(L, n_sequences) penalties of a stitch f → g; where f is "another seed", the mean over all other seeds."""
    kind_f, kind_g = side
    if not kind_f.endswith("*"):
        spec = asymmetry.curve_between(params, (kind_f, chosen[kind_f]), (kind_g, chosen[kind_g]))
        return _curve_penalties(store, spec)
    activation = kind_f[:-1]
    others = [s for s in asymmetry.seeds(activation, params.depth, params.preset.models) if s != chosen[activation]]
    found = [
        _curve_penalties(store, asymmetry.curve_between(params, (activation, s), (kind_g, chosen[kind_g])))
        for s in others
    ]
    return None if not found or any(p is None for p in found) else np.mean(np.array(found), axis=0)


def _curve_penalties(store: ResultStore, spec: CurveSpec) -> np.ndarray | None:
    results = [load_stitch(store, comparison)[0] for comparison in spec.comparisons]
    done = [r.penalty for r in results if r is not None and r.complete]
    return np.array(done) if len(done) == len(results) else None


def _sentence(differences: Differences, scope: str) -> str:
    verdict: dict[str, Callable[[], str]] = {
        HOLDS: lambda: f"True at every layer {scope}",
        FAILS: lambda: f"Reversed at {_layers(differences.upper < 0)} {scope}",
        UNDECIDED: lambda: f"Not shown at {_layers(differences.lower <= 0)} {scope}",
    }
    numbers = "; ".join(
        f"layer {i}: {m:+.3f} [{lo:+.3f}, {hi:+.3f}]"
        for i, (m, lo, hi) in enumerate(
            zip(differences.mean, differences.lower, differences.upper, strict=True), start=1
        )
    )
    return f"{verdict[judge(differences)]()}: difference in nats a token, {numbers}."


def _layers(which: np.ndarray) -> str:
    numbers = [str(i) for i, yes in enumerate(which, start=1) if yes]
    return f"layer{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
