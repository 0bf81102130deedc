"""The tables of section 5 in docs/results.md, made from the stored results;
`repdiss_core.scripts.ship.report` prints them."""

from __future__ import annotations

import numpy as np

from repdiss_core.measures.massive import CHOICES, MULTIPLE
from repdiss_core.models import model_spec
from repdiss_core.scripts.ship.report_claims import claims_table
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.scaling import stored
from repdiss_core.studies.scaling.claims import scaling_claims
from repdiss_core.studies.scaling.fig3_fig9_fig10_maps import changed_cells
from repdiss_core.studies.scaling.question import FAMILIES, MINI, FamilyParams, short_name
from repdiss_core.studies.scaling.stored import FamilyResults, load_family_results, with_massive


def tables(store: ResultStore) -> list[str]:
    """Markdown lines for the bundled family."""
    spec = FAMILIES[MINI]
    kept, dropped, normalised = (load_family_results(store, with_massive(FamilyParams(MINI), way)) for way in CHOICES)
    parts = (
        (f"## Scaling families, {spec.label}", [spec.note, "", *_members(kept)]),
        ("### Mean CKA of two members (diagonal: over pairs of different layers)", _means(kept)),
        ("### How far each shape departs from what the others predict", _odd(kept)),
        ("### The head dimension: best match of each layer with the largest member", _twins(kept)),
        ("### Blocks", _blocks(kept)),
        ("### Massive tokens", _massive(kept, dropped, normalised)),
        (
            "### Claims of section 5",
            claims_table(scaling_claims(kept), ("claim", "verdict", "rule", "found", "rests on")),
        ),
    )
    return [line for title, lines in parts for line in (title, "", *lines, "")]


def _members(found: FamilyResults) -> list[str]:
    value, _, low, high = stored.within(found)
    rows = [
        "| member | parameters | heads × d_head | seed | validation loss, nats a token | CKA of its different layers |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    rows += [
        (
            f"| {short_name(s.name)} | {s.n_parameters:,} | {s.n_heads} × {s.d_head} | {s.seed} | "
            f"{s.validation_loss:.3f} | {value[i]:.3f} [{low[i]:.3f}, {high[i]:.3f}] |"
        )
        for i, s in enumerate(found.specs)
    ]
    return [f"{found.maps.n_batches} batches of {found.maps.tokens_per_batch} tokens.", "", *rows]


def _means(found: FamilyResults) -> list[str]:
    names = [short_name(name) for name in found.maps.members]
    rows = [f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    return rows + [
        f"| {name} | {' | '.join(f'{v:.2f}' for v in row)} |"
        for name, row in zip(names, found.maps.means(), strict=True)
    ]


def _odd(found: FamilyResults) -> list[str]:
    report = stored.odd_report(found)
    if isinstance(report, str):
        return [report]
    rows = ["| shape | seeds | departure, CKA | reach | odd |", "|---|---:|---:|---:|---|"]
    named = {d.shape for d in report.odd}
    rows += [
        f"| {d.shape} | {d.n_seeds} | {d.effect:+.3f} | {d.reach:.3f} | {'yes' if d.shape in named else 'no'} |"
        for d in report.departures
    ]
    alone = [f"* {d.shape} without the other odd shapes: {d.effect:+.3f}, reach {d.reach:.3f}" for d in report.odd]
    return [
        (
            "Standard deviation of a departure between seeds: "
            f"{report.seed_sd:.3f} ({report.seed_freedom} degrees of freedom)."
        ),
        "",
        *rows,
        "",
        *alone,
    ]


def _twins(found: FamilyResults) -> list[str]:
    twins = stored.twins(found)
    if isinstance(twins, str):
        return [twins]
    layers = range(twins.odd.shape[1])
    rows = [f"| | {' | '.join(f'layer {l + 1}' for l in layers)} |", "|---|" + "---:|" * len(layers)]
    suspect, twin = found.params.spec.suspect or ("", "")
    for label, values in ((suspect, twins.odd), (twin, twins.twin)):
        rows.append(
            f"| {label}, {len(values)} seeds | "
            f"{' | '.join(f'{v.mean():.3f} ({v.min():.3f}–{v.max():.3f})' for v in values.T)} |"
        )
    for label, differences in (
        ("difference at equal tokens", twins.equal_tokens),
        ("corrected for all layers", twins.joint),
        ("difference at equal loss", twins.equal_loss),
    ):
        if isinstance(differences, str):
            rows.append(f"| {label} | {' | '.join([differences] + [''] * (len(layers) - 1))} |")
        else:
            rows.append(
                f"| {label} | "
                f"{' | '.join(f'{d.mean:+.3f} [{d.interval[0]:+.3f}, {d.interval[1]:+.3f}]' for d in differences)} "
                "|"
            )
    paths = [
        f"* {short_name(name)}: loss {loss:.3f}, best match {', '.join(f'{v:.3f}' for v in values)}"
        for path in (twins.odd_path, twins.twin_path)
        for name, (loss, values) in path.items()
    ]
    return [*rows, "", "Checkpoints of the first seed of each, in the order of training:", "", *paths]


def _blocks(found: FamilyResults) -> list[str]:
    lines = []
    for name in found.maps.members:
        one = stored.blocks(found, name)
        if isinstance(one, str):
            continue
        part = one.segmentation
        told = ", ".join(f"{a + 1}–{b}" for a, b in part.blocks) or "none"
        cut = ", ".join(str(start) for start in part.candidate[1:])
        support = ", ".join(f"{s:.2f}" for s in one.support)
        more = (
            f"; boundaries found in this share of batches alone: {support}"
            if part.found
            else f"; best segmentation would cut after layer {cut}"
        )
        lines.append(
            f"* {short_name(name)}: blocks {told}; contrast {part.contrast:.3f} [{one.contrast[0]:.3f}, "
            f"{one.contrast[1]:.3f}]{more}"
        )
    shallow = [short_name(n) for n in found.maps.members if model_spec(n).n_layers < 6]
    return [*lines, f"* too shallow to ask: {', '.join(shallow)}"]


def _massive(kept: FamilyResults, dropped: FamilyResults, normalised: FamilyResults) -> list[str]:
    rows = [
        (
            "| member | rows left out | longest row, × median | in layer | largest change without them | with rows of "
            "length 1 |"
        ),
        "|---|---:|---:|---:|---:|---:|",
    ]
    rows += [
        (
            f"| {short_name(r.name)} | {r.dropped} of {r.rows} | {r.peak:.2f} | {r.layer} | {r.change:.3f} | "
            f"{r.change_normalised:.3f} |"
        )
        for r in stored.massive_rows(kept, dropped, normalised)
    ]
    changes = [changed_cells(kept, other) for other in (dropped, normalised)]
    told = "; ".join(
        f"{what}: {'not computed' if np.isnan(c) else f'{c:.3f}'}"
        for what, c in zip(
            (f"without tokens longer than {MULTIPLE:g} times the median", "with rows of length 1"), changes, strict=True
        )
    )
    return [*rows, "", f"Largest change of any cell of any map of the family: {told}."]
