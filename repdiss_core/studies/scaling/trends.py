"""How similarity goes with scale: within a model, between early and late layers of models, and which member is odd."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from repdiss_core.analysis.family import Trend
from repdiss_core.analysis.intervals import p_words
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.scaling import words
from repdiss_core.studies.scaling.fig3_fig9_fig10_maps import drawn
from repdiss_core.studies.scaling.question import short_name
from repdiss_core.studies.scaling.stored import (
    FamilyResults,
    early_late,
    early_late_summary,
    odd_report,
    within,
    within_trend,
)

if TYPE_CHECKING:
    from repdiss_core.plots.series import Series
    from repdiss_core.plots.theme import Look

SYMBOLS = {"regular": "circle", "odd": "diamond"}
ODD_COLOR, ODD_COLOR_ON_DARK = "#D55E00", "#F0803A"


def member_color(loaded: FamilyResults, shape: str, look: Look) -> str:
    """One ramp by the number of parameters."""
    from repdiss_core.plots.series import ramp

    size = loaded.size
    at = float(np.mean(size[loaded.of(shape)]))
    return ramp((at - size.min()) / max(float(np.ptp(size)), 1e-9), look)


def odd_color(look: Look) -> str:
    """The colour of the suspect; its mark differs too."""
    return ODD_COLOR_ON_DARK if look.dark else ODD_COLOR


def compose_trends(loaded: FamilyResults, look: Look, state: str, height: int = 380) -> Drawn:
    """Mean CKA of different layers of one model, by size and by validation loss:
    the paper's trend and its other reading."""
    from repdiss_core.plots.series import SeriesPanel, series_panels

    found = within(loaded)
    panels = []
    for against, title, x_title in (
        ("size", "By size", "parameters"),
        ("loss", "By loss", "validation loss, nats a token"),
    ):
        x = loaded.size if against == "size" else loaded.loss
        if not np.isfinite(found[0]).any():
            panels.append(SeriesPanel(title, x_title, "CKA within a model", state=state))
            continue
        line = within_trend(loaded, against)
        ticks = _size_ticks(loaded) if against == "size" else {}
        panels.append(
            SeriesPanel(
                f"{title}: {trend_words(line)}",
                x_title,
                "CKA within a model",
                (*_points(loaded, x, found, look), *_line(loaded, x, found, line)),
                ticks,
            )
        )
    figure = series_panels(panels, look, height)
    labels = [(short_name(name), "itself") for name in loaded.maps.members]
    table = words.curve_table(
        loaded,
        "mean CKA of different layers of a model",
        loaded.params.family,
        "",
        labels,
        found[0],
        found[2:],
        found[1],
    )
    caption = words.caption(
        loaded,
        f"{len(loaded.specs)} members",
        "mean over pairs of different layers of a model",
        "bars: 95 % t interval over batches; line and p: one point a regular shape, the suspect left out",
        ("The paper reads the trend off its heatmaps by eye.",),
    )
    return drawn(loaded, figure, caption, [table])


def _size_ticks(loaded: FamilyResults) -> dict[float, str]:
    """1, 2 and 5 of each power of ten that the family spans."""
    low, high = loaded.size.min() - 0.2, loaded.size.max() + 0.2
    at = [power + math.log10(digit) for power in range(int(low), int(high) + 1) for digit in (1, 2, 5)]
    return {where: _count(where) for where in at if low <= where <= high}


def _points(loaded: FamilyResults, x: np.ndarray, found: np.ndarray, look: Look) -> list[Series]:
    from repdiss_core.plots.series import Series

    suspect = loaded.params.spec.suspect
    shown = []
    for shape in dict.fromkeys(loaded.shapes):
        rows = loaded.of(shape)
        odd = suspect is not None and shape == suspect[0]
        told = tuple(
            words.hover(
                loaded.maps.members[i], f"CKA within {words.value_words(found[0, i], found[2, i], found[3, i])}"
            )
            for i in rows
        )
        color = odd_color(look) if odd else member_color(loaded, shape, look)
        shown.append(
            Series(shape, x[rows], found[0, rows], found[2:, rows], told, color, SYMBOLS["odd" if odd else "regular"])
        )
    return shown


def _line(loaded: FamilyResults, x: np.ndarray, found: np.ndarray, line: Trend | str) -> list[Series]:
    """The straight line through the regular shapes."""
    from repdiss_core.plots.series import Series

    if isinstance(line, str):
        return []
    at = [float(np.mean(x[loaded.of(s)])) for s in loaded.regular]
    values = [float(np.mean(found[0][loaded.of(s)])) for s in loaded.regular]
    ends = np.array([min(at), max(at)])
    return [Series("", ends, np.mean(values) + line.slope * (ends - np.mean(at)), symbol="", dash="dot", faint=True)]


def trend_words(line: Trend | str) -> str:
    """A trend in a few words: its verdict, Spearman's rank correlation and p."""
    if isinstance(line, str):
        return "no trend to be told"
    told = {"rises": "rises", "falls": "falls", "undecided": "undecided"}[line.verdict]
    return f"{told}, rank correlation {signed(line.rank_correlation, 2)}, p {p_words(line.p)}"


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign, a true minus where it is below 0."""
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def compose_early_late(loaded: FamilyResults, look: Look, state: str, height: int = 380) -> Drawn:
    """For each regular shape, CKA of its early layers with early layers of the others,
    and of its late layers with late ones."""
    from repdiss_core.plots.series import Series, SeriesPanel, series_panels

    shapes = loaded.regular
    early, late = early_late(loaded)
    summary = early_late_summary(loaded)
    title = (
        f"Early minus late: {words.value_words(*_flat(summary['early minus late']))}"
        if not isinstance(summary, str)
        else ""
    )
    x = np.arange(len(shapes), dtype=float)
    series = []
    for name, values, symbol, dash, color in (
        ("first third of the layers", early, "circle", "solid", "gelu"),
        ("last third", late, "square", "dash", "solu"),
    ):
        rows = [values[i][np.isfinite(values[i])] for i in range(len(shapes))]
        if not all(r.size for r in rows):
            continue
        mean = np.array([r.mean() for r in rows])
        ends = np.array([[r.min() for r in rows], [r.max() for r in rows]])
        told = tuple(
            words.hover(f"{s}, {name}", f"CKA with the others {m:.3f}, from {a:.3f} to {b:.3f}")
            for s, m, a, b in zip(shapes, mean, *ends, strict=True)
        )
        series.append(Series(name, x, mean, ends, told, look.model_color(color), symbol, dash))
    panel = SeriesPanel(
        title,
        "shape: layers, d_model, head",
        "CKA with other shapes",
        tuple(series),
        dict(zip(x.tolist(), shapes, strict=True)),
        (-0.4, len(shapes) - 0.6),
        state=state,
    )
    pairs = [(p, q) for i, p in enumerate(shapes) for q in shapes[i + 1 :]]
    at = [(i, j) for i in range(len(shapes)) for j in range(i + 1, len(shapes))]
    tables = [
        words.curve_table(loaded, f"{name} layers across scale", "shape", "shape", pairs, [m[i, j] for i, j in at])
        for name, m in (("early", early), ("late", late))
    ]
    caption = words.caption(
        loaded,
        f"{len(shapes)} regular shapes",
        "mean over the layers of the first (last) third of two models",
        (
            "marks: mean over the other shapes, bars from the least to the most alike; interval above: "
            "jackknife over shapes"
        ),
        ("The paper reads this off its heatmaps by eye.",),
    )
    return drawn(loaded, series_panels([panel], look, height), caption, tables)


def _flat(found: tuple[float, np.ndarray]) -> tuple[float, float, float]:
    return found[0], float(found[1][0]), float(found[1][1])


def compose_odd(loaded: FamilyResults, look: Look, state: str, height: int = 380) -> Drawn:
    """How far each shape's similarity to the others departs from what the family predicts,
    against the reach of seeds and prediction."""
    from repdiss_core.plots.series import Series, SeriesPanel, series_panels

    report = odd_report(loaded)
    caption = words.caption(
        loaded,
        f"{len(loaded.specs)} members, {len(dict.fromkeys(loaded.shapes))} shapes",
        "mean of each map minus what the other shapes predict from size",
        (
            "bars: reach of seeds and prediction, 95 %, corrected for the shapes; "
            "a shape whose bar leaves 0 out is named odd"
        ),
        ("The paper names its odd member by eye.",),
    )
    if isinstance(report, str):
        panel = SeriesPanel(
            "", "shape: layers, d_model, head", "departure, CKA", state=state if not loaded.maps.complete else report
        )
        return drawn(loaded, series_panels([panel], look, height), caption, [])
    named = {d.shape for d in report.odd}
    shown = {d.shape: d for d in report.departures} | {d.shape: d for d in report.odd}
    x = np.arange(len(shown), dtype=float)
    series = []
    for kind, chosen in (
        ("as the family predicts", [d for d in shown.values() if d.shape not in named]),
        ("odd", [d for d in shown.values() if d.shape in named]),
    ):
        at = np.array([x[list(shown).index(d.shape)] for d in chosen])
        effect, reach = np.array([d.effect for d in chosen]), np.array([d.reach for d in chosen])
        told = tuple(
            words.hover(
                d.shape,
                f"departure {d.effect:+.3f}, reach ±{d.reach:.3f}",
                f"{d.n_seeds} seed{'s' if d.n_seeds > 1 else ''}",
            )
            for d in chosen
        )
        color, symbol = (odd_color(look), "diamond") if kind == "odd" else (look.model_color("gelu"), "circle")
        if chosen:
            series.append(Series(kind, at, effect, np.stack([effect - reach, effect + reach]), told, color, symbol))
    panel = SeriesPanel(
        odd_words(loaded),
        "shape: layers, d_model, head",
        "departure, CKA",
        tuple(series),
        dict(zip(x.tolist(), shown, strict=True)),
        (-0.5, len(shown) - 0.5),
        True,
    )
    labels = [(d.shape, "predicted") for d in shown.values()]
    effects, reaches = np.array([d.effect for d in shown.values()]), np.array([d.reach for d in shown.values()])
    table = words.curve_table(
        loaded,
        "departure from what the family predicts",
        "shape",
        "",
        labels,
        effects,
        np.stack([effects - reaches, effects + reaches]),
    )
    return drawn(loaded, series_panels([panel], look, height), caption, [table])


def odd_words(loaded: FamilyResults) -> str:
    """Which shapes are odd, in a few words."""
    report = odd_report(loaded)
    if isinstance(report, str):
        return report
    if not report.odd:
        return "No shape departs by more than seeds and prediction explain"
    return "Odd: " + ", ".join(f"{d.shape} ({signed(d.effect)}, {d.ratio:.1f} times the reach)" for d in report.odd)


def _count(log10: float) -> str:
    """Parameters in words: "1M", "320k"."""
    n = 10**log10
    scale, unit = next(
        (scale, unit) for scale, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, "")) if n >= 0.995 * scale
    )
    return (
        f"{n / scale:.3g}{unit}" if n / scale < 10 else f"{round(n / scale, -1 if n / scale >= 100 else 0):.0f}{unit}"
    )
