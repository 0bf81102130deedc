"""The guided tour: the paper's three studies in steps.

Every sentence is a template that computed claims and results fill in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from repdiss_core.store.cache import ResultStore
from repdiss_core.studies import options
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.claims import Claim
from repdiss_core.studies.common import kind
from repdiss_core.studies.findings import Finding, model_sets
from repdiss_core.studies.panels import load_learning, load_matrix
from repdiss_core.studies.paper import STUDIES
from repdiss_core.studies.scaling import question as scaling
from repdiss_core.studies.words import verdict_sentence


@dataclass(frozen=True, eq=False)
class Facts:
    """What the steps are made from.

    Args:
        findings: name of a study to its findings.
    """

    store: ResultStore
    findings: Callable[[str], tuple[Finding, ...]]

    def claim(self, study: str, claim_id: str, scope: str = "", models: int = 0) -> Claim | None:
        """A claim of a study for one set of models, in its first scope where none is named;
        None where there is none."""
        chosen = model_sets(study)[models]
        claims = [row.claim for finding in self.findings(study) for row in finding.rows if row.models == chosen]
        return next((c for c in claims if c.id == claim_id and scope in ("", c.scope)), None)


@dataclass(frozen=True)
class Step:
    """One step.

    Args:
        study: name in `repdiss_core.studies.paper.STUDIES`.
        card: the figure on that study's page.
        lead: what is done here and why.
        tell: the computed sentence.
        query: the page's choices.
    """

    study: str
    title: str
    card: str
    lead: str
    tell: Callable[[Facts], str]
    query: tuple[tuple[str, str], ...] = field(default=())

    @property
    def page(self) -> str:
        """The page with the figure."""
        return STUDIES[self.study].page


def _of(study: str, claim_id: str, scope: str = "", models: int = 0) -> Callable[[Facts], str]:
    return lambda facts: _said(facts.claim(study, claim_id, scope, models))


def _said(claim: Claim | None) -> str:
    return "Its models are not here yet." if claim is None else verdict_sentence(claim)


def _last_layers(facts: Facts) -> str:
    params = asymmetry.AsymmetryParams(depth=3)
    views = [
        load_matrix(facts.store, panel, params.cka.reduction, params.cka.n_batches)
        for panel in asymmetry.cka_panels(params)
    ]
    maps = [view.matrix for view in views if view.matrix is not None]
    if len(maps) < len(views):
        return "The maps are not computed yet."
    between, own = maps[-1], [one.values[0, -1] for one in maps[:-1]]
    low, high = between.interval[:, -1, -1]
    return (
        f"After their last blocks the two models have CKA {between.values[-1, -1]:.2f} [{low:.2f}, {high:.2f}], "
        "more than a model’s own first and last layers "
        f"({own[0]:.2f} and {own[1]:.2f})."
        if between.values[-1, -1] > max(own)
        else f"After their last blocks the two models have CKA {between.values[-1, -1]:.2f} [{low:.2f}, {high:.2f}]; "
        "a model’s own first and last layers have "
        f"{own[0]:.2f} and {own[1]:.2f}."
    )


def _still_falling(facts: Facts) -> str:
    falls = []
    for spec in asymmetry.paper_curves(asymmetry.AsymmetryParams(depth=3)):
        curves = load_learning(facts.store, spec)
        if curves and kind(spec.comparisons[0].f.name) != kind(spec.comparisons[0].g.name):
            tenth = max(1, curves[0].train_loss.size // 10)
            drops = [float(np.mean(c.train_loss[:tenth]) - np.mean(c.train_loss[-tenth:])) for c in curves]
            falls.append(
                f"{spec.name}: "
                f"the loss falls by {min(drops):.3f} to {max(drops):.3f} nats a token from the first tenth of the "
                "steps to the last"
            )
    return "; ".join(falls) + "." if falls else "The stitches are not trained yet."


def _family(facts: Facts) -> str:
    names = scaling.members(scaling.MINI)
    early = _of("scaling", "early-shared")(facts)
    return (
        f"{len(names)} members of this family are here, from {scaling.short_name(names[0])} to "
        f"{scaling.short_name(names[-1])}. {early}"
    )


_THREE = ((options.DEPTH.id, options.DEPTH.format((3,))),)
STEPS = (
    Step(
        "asymmetry",
        "Two kinds of model, layer by layer",
        "fig4",
        (
            "Section 3 compares SoLU models with GeLU models. "
            "CKA says how alike two layers are over the same tokens: 1 is the same up to rotation and scale."
        ),
        _last_layers,
        _THREE,
    ),
    Step(
        "asymmetry",
        "Can one read the other?",
        "fig1",
        (
            "A stitch runs one model up to a layer, translates, and lets the other model finish. "
            "What it costs is the penalty. The paper finds the two directions unlike."
        ),
        _of("asymmetry", "solu-gelu-over-gelu-solu"),
        _THREE,
    ),
    Step(
        "asymmetry",
        "Is it the activation function, or these two models?",
        "fig1",
        "The same question over seeds: every GeLU seed meets every SoLU seed.",
        _of("asymmetry", "solu-gelu-over-gelu-solu", "activation"),
        _THREE,
    ),
    Step(
        "asymmetry",
        "The control that the paper lacks",
        "fig1",
        (
            "Another seed of the same kind is hard to read too. "
            "Only what exceeds that is owed to the activation function."
        ),
        _of("asymmetry", "solu-gelu-over-other-gelu"),
        _THREE,
    ),
    Step(
        "asymmetry",
        "Were the stitches trained to their end?",
        "fig6-3",
        "A curve that still falls at its last step says that the penalty is an upper bound.",
        _still_falling,
        _THREE,
    ),
    Step(
        "generalization",
        "Models that agree, and do not",
        "stitching",
        (
            "Section 4: fine-tunings of one BERT answer alike in distribution and part on lexical overlap. "
            "Are they told apart before anyone asks the hard questions?"
        ),
        _of("generalization", "late-penalty"),
    ),
    Step(
        "generalization",
        "Where in the network?",
        "cka",
        "CKA within and between the two groups, block by block. The paper sees them part in late layers.",
        _of("generalization", "late-cka"),
    ),
    Step(
        "generalization",
        "Two clusters?",
        "distances",
        "One number for two models: the angles of their CKA, put together over layers.",
        _of("generalization", "clusters"),
    ),
    Step(
        "generalization",
        "Could the instruments see a difference at all?",
        "cka",
        (
            "Here two groups were made to differ by their training data. A gap is no finding; "
            "its absence would be one, about the instruments."
        ),
        _of("generalization", "late-cka", models=1),
        ((options.POPULATION.id, "constructed"),),
    ),
    Step(
        "scaling",
        "One family, many sizes",
        "family",
        "Section 5 asks what models of one recipe share across scale.",
        _family,
    ),
    Step(
        "scaling",
        "More alike within, as models grow?",
        "trend",
        "The paper reads a growth with scale off its maps. Larger models also have a lower loss.",
        _of("scaling", "within-by-size"),
    ),
    Step(
        "scaling",
        "The odd one out",
        "odd",
        "The paper finds one Pythia model unlike its neighbours in size and names its head dimension.",
        _of("scaling", "odd-member"),
    ),
    Step(
        "scaling",
        "Is it the head dimension?",
        "heads",
        "Two shapes that differ in nothing but the size of their heads, each against the largest member.",
        _of("scaling", "head-dimension"),
    ),
)
