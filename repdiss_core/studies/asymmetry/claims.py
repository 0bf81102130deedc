"""The paper's claims of section 3, measured on what the stored results show.

A claim about *these models* rests on an interval over evaluation sequences. A claim about *the activation function*
rests on an interval over seeds, and cannot be asked under three of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from repdiss_core.analysis.intervals import MIN_SEEDS, Differences, over_crossed_seeds, over_samples
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import words
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.claims import Claim, Question, claims_on
from repdiss_core.studies.evidence import Basis, Effect, Evidence, Obstacle, Place
from repdiss_core.studies.panels import CurveSpec, load_stitch

UNIT = "nats a token"


@dataclass(frozen=True, eq=False)
class Stitches:
    """The stored stitches of the chosen depth, seeds and stitching preset."""

    store: ResultStore
    params: asymmetry.AsymmetryParams


@dataclass(frozen=True)
class Contrast:
    """A claim "the first costs more than the second at every layer"; each side is (f, g) by role names.

    Args:
        lead: the claim in a few words, for the top of the page.
    """

    id: str
    statement: str
    more: tuple[str, str]
    less: tuple[str, str]
    ours: bool = False
    lead: str = ""

    def questions(self) -> tuple[Question[Stitches], Question[Stitches]]:
        """The claim about these models, and about the activation function."""
        return (
            self._question("models", _over_sequences, f"{self.lead}, for these two models"),
            self._question("activation", _over_seeds, f"{self.lead}, over seeds"),
        )

    def _question(
        self, scope: str, measure: Callable[[Stitches, Contrast], Evidence | Obstacle], lead: str
    ) -> Question[Stitches]:
        return Question(
            self.id, self.statement, scope, "every-layer", "fig1", lambda stitches: measure(stitches, self),
            ours=self.ours, phrase="layers", lead=lead if self.lead else "",
        )  # fmt: skip


# "gelu*" is another seed than "gelu".
CONTRASTS = (
    Contrast("solu-gelu-over-gelu-solu",
             "Feeding SoLU into GeLU costs more than feeding GeLU into SoLU, at every layer.",
             ("solu", "gelu"), ("gelu", "solu"), lead="SoLU into GeLU costs more than GeLU into SoLU at every layer"),
    Contrast("solu-gelu-over-gelu-itself", "SoLU into GeLU costs more than GeLU into itself, at every layer.",
             ("solu", "gelu"), ("gelu", "gelu")),
    Contrast("gelu-solu-over-gelu-itself", "GeLU into SoLU costs more than GeLU into itself, at every layer.",
             ("gelu", "solu"), ("gelu", "gelu")),
    Contrast("gelu-itself-over-solu-itself", "GeLU into itself costs more than SoLU into itself, at every layer.",
             ("gelu", "gelu"), ("solu", "solu")),
    Contrast("solu-gelu-over-other-gelu", "SoLU into GeLU costs more than another GeLU model into it, at every layer.",
             ("solu", "gelu"), ("gelu*", "gelu"), ours=True),
    Contrast("gelu-solu-over-other-solu", "GeLU into SoLU costs more than another SoLU model into it, at every layer.",
             ("gelu", "solu"), ("solu*", "solu"), ours=True),
)  # fmt: skip


def effects_by_layer(differences: Differences) -> tuple[Effect, ...]:
    """An effect a layer, with the interval that holds for all layers together."""
    rows = zip(differences.mean, differences.lower, differences.upper, strict=True)
    return tuple(
        Effect(float(mean), float(low), float(high), UNIT, Place("layer", layer))
        for layer, (mean, low, high) in enumerate(rows, start=1)
    )


def _over_sequences(stitches: Stitches, contrast: Contrast) -> Evidence | Obstacle:
    params = stitches.params
    chosen = {"gelu": params.seed_gelu, "solu": params.seed_solu}
    more, less = (_penalties(stitches, side, chosen) for side in (contrast.more, contrast.less))
    if more is None or less is None:
        return Obstacle("not-computed", "setting")
    differences = over_samples(more - less)
    facts: dict[str, float | str] = {
        "gelu": params.gelu,
        "solu": params.solu,
        "sequences": differences.n,
        "layers": len(more),
    }
    return Evidence(effects_by_layer(differences), Basis("sequences", facts))


def _over_seeds(stitches: Stitches, contrast: Contrast) -> Evidence | Obstacle:
    params = stitches.params
    gelu, solu = (asymmetry.seeds(kind, params.depth, params.preset.models) for kind in ("gelu", "solu"))
    facts = {"gelu": len(gelu), "solu": len(solu)}
    if min(len(gelu), len(solu)) < MIN_SEEDS:
        return Obstacle("cannot-be-asked", "few seeds", {**facts, "needed": MIN_SEEDS})
    table = [[_mean_difference(stitches, contrast, g, s) for s in solu] for g in gelu]
    if any(cell is None for row in table for cell in row):
        return Obstacle("not-computed", "seed pairs")
    differences = over_crossed_seeds(np.array(table))
    assert differences is not None
    counts = {**facts, "pairs": len(gelu) * len(solu), "layers": params.depth}
    return Evidence(effects_by_layer(differences), Basis("seeds", counts))


def _mean_difference(stitches: Stitches, contrast: Contrast, gelu: int, solu: int) -> np.ndarray | None:
    """(L,) mean difference for one pair of seeds."""
    more, less = (_penalties(stitches, side, {"gelu": gelu, "solu": solu}) for side in (contrast.more, contrast.less))
    return None if more is None or less is None else (more - less).mean(axis=1)


def _penalties(stitches: Stitches, side: tuple[str, str], chosen: dict[str, int]) -> np.ndarray | None:
    """(L, n_sequences) penalties of a stitch f → g; where f is "another seed", the mean over all other seeds."""
    kind_f, kind_g = side
    params, g = stitches.params, (kind_g, chosen[kind_g])
    if not kind_f.endswith("*"):
        return _curve_penalties(stitches.store, asymmetry.curve_between(params, (kind_f, chosen[kind_f]), g))
    activation = kind_f[:-1]
    others = [s for s in asymmetry.seeds(activation, params.depth, params.preset.models) if s != chosen[activation]]
    curves = [asymmetry.curve_between(params, (activation, seed), g) for seed in others]
    penalties = [_curve_penalties(stitches.store, curve) for curve in curves]
    return None if not penalties or any(p is None for p in penalties) else np.mean(np.array(penalties), axis=0)


def _curve_penalties(store: ResultStore, spec: CurveSpec) -> np.ndarray | None:
    results = [load_stitch(store, comparison)[0] for comparison in spec.comparisons]
    complete = [r.penalty for r in results if r is not None and r.complete]
    return np.array(complete) if len(complete) == len(results) else None


# The list of claims: every contrast in both scopes.
CLAIMS: tuple[Question[Stitches], ...] = tuple(q for contrast in CONTRASTS for q in contrast.questions())


def asymmetry_claims(store: ResultStore, params: asymmetry.AsymmetryParams) -> tuple[Claim, ...]:
    """Every claim of section 3 for the chosen depth, seeds and stitching preset, in both scopes."""
    return claims_on("asymmetry", CLAIMS, Stitches(store, params))


def headline(store: ResultStore, params: asymmetry.AsymmetryParams) -> str:
    """The top of the page: the asymmetry for these models and over seeds."""
    return words.headline(asymmetry_claims(store, params), WAITING)


WAITING = "The stitches of this pair are not computed yet."
