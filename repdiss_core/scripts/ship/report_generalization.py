"""The tables of section 4 in docs/results.md, made from the stored results;
`repdiss_core.scripts.ship.report` prints them."""

from __future__ import annotations

import numpy as np

from repdiss_core.analysis.groups import PermutationTest, jackknife, permutation_test
from repdiss_core.analysis.intervals import p_words
from repdiss_core.bundled.nli import POPULATIONS
from repdiss_core.scripts.ship.report_claims import claims_table
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.generalization import question
from repdiss_core.studies.generalization.claims import generalization_claims
from repdiss_core.studies.generalization.fig8_distances import clusterings, distance_test
from repdiss_core.studies.generalization.question import PopulationParams
from repdiss_core.studies.generalization.stored import PopulationResults, load_population_results
from repdiss_core.studies.generalization.words import SHORT_SETS
from repdiss_core.studies.phrases import MINUS


def tables(store: ResultStore) -> list[str]:
    """Markdown lines for both populations."""
    lines = []
    for population, spec in POPULATIONS.items():
        loaded = load_population_results(store, PopulationParams(population))
        lines += [f"## Generalization, {spec.label}", "", spec.note, "", *_accuracies(loaded), ""]
        lines += ["### CKA within minus between the groups, by block", "", *_cka(loaded), ""]
        lines += [
            "### Accuracy lost by identity stitching, between minus within the groups, by cut",
            "",
            *_stitching(loaded),
            "",
        ]
        lines += ["### Distances and clusters", "", *_clusters(loaded), ""]
        claims = claims_table(generalization_claims(loaded), ("claim", "verdict", "rule", "found"))
        lines += ["### Claims of section 4", "", *(line.replace(MINUS, "-") for line in claims), ""]
    readings = (
        PopulationParams(),
        PopulationParams(rows="padded"),
        PopulationParams(rows="cls"),
        PopulationParams(hook="resid_post"),
    )
    lines += ["## Generalization, how features are read: CKA gap at the last block, natural population", ""]
    lines += ["| features | hook | in distribution | lexical overlap |", "|---|---|---:|---:|"]
    return [*lines, *(_reading(load_population_results(store, params)) for params in readings), ""]


def _accuracies(loaded: PopulationResults) -> list[str]:
    rows = ["| set | all models: mean (range) | generalizing | heuristic |", "|---|---:|---:|---:|"]
    for name in ("in_distribution", "lexical_overlap", "lexical_overlap_rank", "lexical_overlap_entailed"):
        found = question.accuracies(loaded.params.population, name)
        values = np.array(list(found.values()))
        groups = [np.mean([found[m] for m in group]) for group in (loaded.groups.top, loaded.groups.bottom)]
        rows.append(
            f"| {question.SET_LABELS[name]} | {values.mean():.3f} ({values.min():.3f}–{values.max():.3f}) | "
            f"{groups[0]:.3f} | {groups[1]:.3f} |"
        )
    return [
        (
            f"{loaded.groups.k} + {loaded.groups.k} of {len(values)} models, {loaded.groups.n_pairs} pairs; "
            "ranked on the ranking set."
        ),
        "",
        *rows,
    ]


def _by_layer(
    loaded: PopulationResults, values: dict[str, np.ndarray | None], sign: float, head: list[str]
) -> list[str]:
    rows = [f"| set | {' | '.join(head)} |", "|---|" + "---:|" * len(head)]
    for name, found in values.items():
        if found is None:
            rows.append(f"| {SHORT_SETS[name]} | " + " | ".join("—" for _ in head) + " |")
            continue
        test, interval = (
            permutation_test(sign * found, loaded.groups.is_top),
            jackknife(sign * found, loaded.groups.is_top),
        )
        rows.append(f"| {SHORT_SETS[name]} | " + " | ".join(_cell(test, interval, i) for i in range(len(head))) + " |")
    return rows


def _cell(test: PermutationTest, interval: np.ndarray, i: int) -> str:
    return (
        f"{test.effect[i]:+.3f} [{interval[0, i]:+.3f}, {interval[1, i]:+.3f}], "
        f"p {p_words(test.p_adjusted[i], in_table=True)}"
    )


def _cka(loaded: PopulationResults) -> list[str]:
    values = {name: loaded.group_cka(name) for name in loaded.params.sets}
    return _by_layer(loaded, values, 1.0, [f"block {i}" for i in range(1, 7)])


def _stitching(loaded: PopulationResults) -> list[str]:
    values = {name: loaded.group_penalty(name) for name in loaded.params.sets}
    return _by_layer(loaded, values, -1.0, [*(f"cut {i}" for i in range(6)), "head only"])


def _clusters(loaded: PopulationResults) -> list[str]:
    rows = [
        "| set | distance between minus within, radians | method | sizes | silhouette | adjusted Rand index | p |",
        "|---|---:|---|---|---:|---:|---:|",
    ]
    for name in loaded.params.sets:
        test = distance_test(loaded, name)
        gap = "—" if test is None else f"{-test.effect[0]:+.3f}, p {p_words(test.p[0], in_table=True)}"
        for c in clusterings(loaded, name):
            rows.append(
                f"| {SHORT_SETS[name]} | {gap} | {c.method} | {' + '.join(map(str, c.sizes))} | "
                f"{c.silhouette:.2f} | {c.agreement:.2f} | {p_words(c.p, in_table=True)} |"
            )
    return rows


def _reading(loaded: PopulationResults) -> str:
    cells = []
    for name in loaded.params.sets:
        values = loaded.group_cka(name)
        if values is None:
            cells.append("—")
            continue
        cells.append(_cell(permutation_test(values, loaded.groups.is_top), jackknife(values, loaded.groups.is_top), -1))
    return f"| {loaded.params.rows} | {loaded.params.hook} | {' | '.join(cells)} |"
