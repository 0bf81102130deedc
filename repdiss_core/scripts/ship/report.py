"""The tables of docs/results.md, made from the stored results: `python -m repdiss_core.scripts.ship.report`."""

from __future__ import annotations

import sys

import numpy as np

from repdiss_core import bundled
from repdiss_core.models import MODELS
from repdiss_core.scripts.ship import report_scaling
from repdiss_core.scripts.ship.report_claims import claims_table
from repdiss_core.scripts.ship.report_generalization import tables
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry.claims import asymmetry_claims
from repdiss_core.studies.asymmetry.question import (
    DEPTHS,
    AsymmetryParams,
    all_curves,
    cka_panels,
    control_curves,
    paper_curves,
)
from repdiss_core.studies.common import CkaView
from repdiss_core.studies.panels import load_matrix, load_stitch
from repdiss_core.studies.phrases import MINUS


def main() -> None:
    """Print every table as Markdown."""
    store = ResultStore.open()
    lines = ["## The models", "", *_models(), ""]
    for depth in DEPTHS:
        params = AsymmetryParams(depth=depth)
        lines += [f"## Stitching, {depth} layers, quick setting, mean over seeds", "", *_quick(store, params), ""]
        lines += [
            f"## Stitching, {depth} layers, reference setting, seeds 0",
            "",
            *_reference(store, AsymmetryParams(depth=depth, stitch="reference")),
            "",
        ]
        lines += [f"## Claims of section 3, {depth} layers", "", *_claims(store, params), ""]
        lines += [f"## CKA, {depth} layers, seeds 0", "", *_cka(store, params), ""]
    lines += tables(store) + report_scaling.tables(store)
    sys.stdout.write("\n".join(lines).rstrip() + "\n")


def _models() -> list[str]:
    facts = bundled.facts()
    baselines = facts["data"]["docstrings"].get("baselines", {})
    rows = ["| model | parameters | tokens seen | validation loss, nats a token |", "|---|---:|---:|---:|"]
    rows += [
        f"| {s.name} | {s.n_parameters:,} | {s.tokens_seen:,} | {s.validation_loss:.3f} |"
        for s in MODELS.values()
        if s.family == "mini"
    ]
    rows += [f"| {name} baseline | | | {value:.3f} |" for name, value in baselines.items() if isinstance(value, float)]
    return rows


def _quick(store: ResultStore, params: AsymmetryParams) -> list[str]:
    """Penalty by layer and direction, mean and standard deviation over ordered pairs of models."""
    groups: dict[str, list[np.ndarray]] = {}
    for spec in all_curves(params):
        stored = (load_stitch(store, c)[0] for c in spec.comparisons)
        results = [r for r in stored if r is not None and r.complete]
        if len(results) == len(spec.comparisons):
            label = f"{spec.kind_f} → {spec.kind_g}" + {"identical": ", itself", "control": ", other seed"}.get(
                spec.role, ""
            )
            groups.setdefault(label, []).append(
                np.array([[r.penalty.mean(), (r.loss_closed_form - r.loss_g).mean()] for r in results])
            )
    rows = [
        f"| direction | pairs | {' | '.join(f'layer {l}' for l in range(1, params.depth + 1))} |",
        "|---|---:|" + "---:|" * params.depth,
    ]
    for label, found in sorted(groups.items()):
        table = np.array(found)
        spread = table[:, :, 0].std(axis=0, ddof=1) if len(found) > 1 else np.full(params.depth, np.nan)
        rows.append(
            f"| {label} | {len(found)} | "
            + " | ".join(f"{m:.3f} ± {s:.3f}" for m, s in zip(table[:, :, 0].mean(axis=0), spread))
            + " |"
        )
        rows.append("| … closed form | | " + " | ".join(f"{m:.3f}" for m in table[:, :, 1].mean(axis=0)) + " |")
    return rows


def _reference(store: ResultStore, params: AsymmetryParams) -> list[str]:
    rows = [
        f"| stitch | {' | '.join(f'layer {l}' for l in range(1, params.depth + 1))} |",
        "|---|" + "---:|" * params.depth,
    ]
    for spec in paper_curves(params) + control_curves(params):
        cells = []
        for comparison in spec.comparisons:
            result, _ = load_stitch(store, comparison)
            cells.append(
                f"{result.penalty.mean():.3f} ± {result.penalty.std(ddof=1) / result.penalty.size**0.5:.3f}"
                if result is not None and result.complete
                else "—"
            )
        rows.append(f"| {spec.name} | {' | '.join(cells)} |")
    return rows


def _claims(store: ResultStore, params: AsymmetryParams) -> list[str]:
    columns = ("claim", "about", "verdict", "rule", "found")
    return [line.replace(MINUS, "-") for line in claims_table(asymmetry_claims(store, params), columns)]


def _cka(store: ResultStore, params: AsymmetryParams) -> list[str]:
    rows = []
    for view in (CkaView(), CkaView(estimator="sequence_aware"), CkaView(flatten="sample")):
        for panel in cka_panels(AsymmetryParams(depth=params.depth, cka=view)):
            loaded = load_matrix(store, panel, view.reduction, view.n_batches)
            if loaded.matrix is not None:
                values = "; ".join(" ".join(f"{v:.2f}" for v in row) for row in loaded.matrix.values)
                error = np.nanmax(loaded.matrix.standard_error)
                rows.append(
                    f"* {panel.title}, {view.estimator}, rows of {view.flatten}s, {loaded.n_batches} batches: "
                    f"`{values}` (largest standard error {error:.3f})"
                )
    return rows


if __name__ == "__main__":
    main()
