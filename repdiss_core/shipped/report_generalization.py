"""Section 4 in tables, for `python -m repdiss_core.shipped.report`: gaps by layer with p-values, distances, clusters, claims."""

from __future__ import annotations

import numpy as np

from repdiss_core.analysis.groups import PermutationTest, jackknife
from repdiss_core.bundled.nli import POPULATIONS
from repdiss_core.cache import ResultStore
from repdiss_core.claims import Claim
from repdiss_core.claims_generalization import generalization_claims
from repdiss_core.compose_generalization.distances import clusterings, distance_test
from repdiss_core.compose_generalization.loaded import Loaded, cka_test, load, penalty_test
from repdiss_core.compose_generalization.words import SHORT_SETS
from repdiss_core.studies.generalization import Params, accuracies


def generalization_lines(store: ResultStore) -> list[str]:
    """Markdown for both populations and both sets, from what is stored."""
    lines: list[str] = []
    for population, spec in POPULATIONS.items():
        loaded = load(store, Params(population))
        title = f"Section 4, {spec.label}{' (no finding: the groups were made to differ)' if spec.constructed else ''}"
        lines += [f"## {title}", "", _models(loaded), ""]
        lines += ["CKA within the groups minus CKA between them, by block:", "", *_gaps(loaded, "cka"), ""]
        lines += [
            "Accuracy lost between the groups minus accuracy lost within them, by cut (the last exchanges only the head):",
            "",
            *_gaps(loaded, "penalty"),
            "",
        ]
        lines += ["Distance of equation (2) within minus between, and two clusters found without being told:", "", *_clusters(loaded), ""]
        lines += ["| claim | verdict | found |", "|---|---|---|", *(_claim(c) for c in generalization_claims(loaded)), ""]
    return lines


def _models(loaded: Loaded) -> str:
    params, groups = loaded.params, loaded.groups
    test = cka_test(loaded, params.sets[0])
    splits = (
        ""
        if test is None
        else f" p: splits of the {test.n_models} models ({test.n_splits} {'all' if test.exact else 'random'}), in brackets corrected for the layers."
    )
    told = []
    for name in params.sets:
        found = accuracies(params.population, name)
        top, bottom = (np.mean([found[m] for m in group]) for group in (groups.top, groups.bottom))
        told.append(
            f"{SHORT_SETS[name].lower()} {min(found.values()):.3f} to {max(found.values()):.3f} (generalizing {top:.3f}, heuristic {bottom:.3f})"
        )
    amount = f"{groups.k} + {groups.k} of {len(loaded.overlap_accuracy)} models, {groups.n_pairs} pairs, {params.chunks} chunks, {params.items} pairs of sentences a set"
    return f"{amount}. Accuracy: {'; '.join(told)}.{splits} Intervals: 95 % jackknife over models."


def _gaps(loaded: Loaded, quantity: str) -> list[str]:
    rows: list[str] = []
    for name in loaded.params.sets:
        matrix = loaded.group_cka(name) if quantity == "cka" else loaded.group_penalty(name)
        test = cka_test(loaded, name) if quantity == "cka" else penalty_test(loaded, name)
        if matrix is None or test is None:
            rows.append(f"* {SHORT_SETS[name]}: not every pair is computed.")
            continue
        sign = 1.0 if quantity == "cka" else -1.0
        interval = np.sort(sign * jackknife(matrix, loaded.groups.is_top), axis=0)
        first = 1 if quantity == "cka" else 0
        if not rows:
            word = "block" if quantity == "cka" else "cut"
            rows += [f"| measured on | {' | '.join(f'{word} {first + i}' for i in range(len(test.p)))} |", "|---|" + "---:|" * len(test.p)]
        rows.append(f"| {SHORT_SETS[name]} | {' | '.join(_cells(sign * test.effect, interval, test))} |")
    return rows


def _cells(effect: np.ndarray, interval: np.ndarray, test: PermutationTest) -> list[str]:
    return [
        f"{value:+.3f} [{low:+.3f}, {high:+.3f}], p {_p(p)} ({_p(adjusted)})"
        for value, low, high, p, adjusted in zip(effect, *interval, test.p, test.p_adjusted, strict=True)
    ]


def _clusters(loaded: Loaded) -> list[str]:
    rows = ["| measured on | distance gap, radians | p | method | silhouette | adjusted Rand index | p |", "|---|---:|---:|---|---:|---:|---:|"]
    for name in loaded.params.sets:
        test = distance_test(loaded, name)
        if test is None:
            continue
        for found in clusterings(loaded, name):
            method = found.method.replace("_", "-")
            rows.append(
                f"| {SHORT_SETS[name]} | {test.effect[0]:+.3f} | {_p(test.p[0])} | {method} | {found.silhouette:.2f} | {found.agreement:.2f} | {_p(found.p)} |"
            )
    return rows


def _claim(claim: Claim) -> str:
    return f"| {claim.sentence}{' (our question)' if claim.ours else ''} | **{claim.verdict}** | {claim.found} |"


def _p(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")
