"""The controlled experiment on the head dimension, and similarity over training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repdiss_core.measures.reduction import mean_interval
from repdiss_core.models import model_spec
from repdiss_core.models.family import checkpoint_of, family_checkpoints
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.scaling import words
from repdiss_core.studies.scaling.fig3_fig9_fig10_maps import drawn
from repdiss_core.studies.scaling.question import shape_of, short_name
from repdiss_core.studies.scaling.stored import FamilyResults, Twins, twins
from repdiss_core.studies.scaling.trends import member_color, odd_color
from repdiss_core.studies.tables import Table

if TYPE_CHECKING:
    from repdiss_core.plots.series import Series
    from repdiss_core.plots.theme import Look

LAYER_COLORS = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7")


def compose_twins(loaded: FamilyResults, look: Look, state: str, height: int = 380) -> Drawn:
    """Best match of each layer with the largest member, by validation loss:
    the suspect and its twin, a panel a layer."""
    from repdiss_core.plots.series import SeriesPanel, series_panels

    found = twins(loaded)
    caption = words.caption(
        loaded,
        "the suspect, its twin, and their checkpoints",
        f"for each layer the highest CKA with any layer of {short_name(loaded.reference)}",
        "lines: one training each, from left to right; single marks: other seeds at their end",
        ("The paper could not separate the head dimension from the model; this experiment is ours.",),
    )
    if isinstance(found, str):
        panel = SeriesPanel(
            "", "validation loss, nats a token", "best match, CKA", state=state if not loaded.maps.complete else found
        )
        return drawn(loaded, series_panels([panel], look, height), caption, [])
    suspect = loaded.params.spec.suspect
    assert suspect is not None
    losses = [loss for loss, _ in (*found.odd_path.values(), *found.twin_path.values())] + [
        *found.odd_losses,
        *found.twin_losses,
    ]
    room = 0.08 * (max(losses) - min(losses))
    panels = [
        SeriesPanel(
            f"layer {l + 1}", "loss (falls)", "best match, CKA", tuple(_twin_series(loaded, found, suspect, l, look)),
            x_range=(max(losses) + room, min(losses) - room),
        )
        for l in range(found.odd.shape[1])
    ]  # fmt: skip
    return drawn(loaded, series_panels(panels, look, height), caption, _tables(loaded, found))


def _twin_series(loaded: FamilyResults, found: Twins, suspect: tuple[str, str], layer: int, look: Look) -> list[Series]:
    from repdiss_core.plots.series import Series

    series = []
    for shape, path, ends, losses, symbol, dash in (
        (suspect[1], found.twin_path, found.twin, found.twin_losses, "circle", "solid"),
        (suspect[0], found.odd_path, found.odd, found.odd_losses, "diamond", "dash"),
    ):
        color = odd_color(look) if shape == suspect[0] else member_color(loaded, shape, look)
        x = np.array([loss for loss, _ in path.values()])
        y = np.array([values[layer] for _, values in path.values()])
        hovers = tuple(
            words.hover(name, f"loss {a:.3f}", f"best match {b:.3f}") for name, a, b in zip(path, x, y, strict=True)
        )
        series.append(Series(shape, x, y, None, hovers, color, symbol, dash))
        hovers = tuple(
            words.hover(f"{shape}, seed {i}", f"loss {a:.3f}", f"best match {b:.3f}")
            for i, (a, b) in enumerate(zip(losses, ends[:, layer], strict=True))
        )
        series.append(Series("", losses[1:], ends[1:, layer], None, hovers[1:], color, symbol))
    return series


def _tables(loaded: FamilyResults, found: Twins) -> list[Table]:
    tables = []
    for title, differences in (
        ("suspect minus twin at equal tokens", found.equal_tokens),
        ("suspect minus twin at equal loss", found.equal_loss),
    ):
        if isinstance(differences, str):
            continue
        labels = [(f"layer {l + 1}", loaded.reference) for l in range(len(differences))]
        tables.append(
            words.curve_table(
                loaded,
                title,
                "layer",
                "largest member",
                labels,
                [d.mean for d in differences],
                np.stack([d.interval for d in differences], axis=1),
            )
        )
    return tables


def compose_training(loaded: FamilyResults, look: Look, state: str, height: int = 380) -> Drawn:
    """CKA of each layer at a checkpoint with the same layer at the end of that training, a panel a training."""
    from repdiss_core.plots.series import SeriesPanel, series_panels

    owners = list(dict.fromkeys(checkpoint_of(name) for name in family_checkpoints()))
    panels, tables = [], []
    for owner in owners:
        series, more = _training_series(loaded, owner)
        tables += more
        panels.append(
            SeriesPanel(
                short_name(owner),
                "million tokens seen",
                "CKA with the end",
                tuple(series),
                zero_line=False,
                state=state,
            )
        )
    if not panels:
        panels = [
            SeriesPanel(
                "", "million tokens seen", "CKA with the end", state="No checkpoints of this family are at hand."
            )
        ]
    caption = words.caption(
        loaded,
        f"{len(family_checkpoints())} checkpoints of {len(owners)} trainings",
        "layer l at a checkpoint against layer l at the end of the same training",
        "bars: 95 % t interval over batches",
        ("The paper compares finished models alone.",),
    )
    return drawn(loaded, series_panels(panels, look, height), caption, tables)


def _training_series(loaded: FamilyResults, owner: str) -> tuple[list[Series], list[Table]]:
    """(a line for each layer, a table for each)."""
    from repdiss_core.plots.series import Series

    names = list(family_checkpoints(owner))
    maps = [loaded.maps.map(name, owner) for name in names]
    if not names or any(one is None for one in maps):
        return [], []
    tokens = np.array([model_spec(name).tokens_seen for name in (*names, owner)]) / 1e6
    series, tables = [], []
    for l in range(model_spec(owner).n_layers):
        rows = np.array(
            [mean_interval(one.values[:, l, l]) for one in maps if one is not None] + [(1.0, 0.0, 1.0, 1.0)]
        ).T
        hovers = tuple(
            words.hover(f"layer {l + 1} after {t:.1f}M tokens", words.value_words(*row))
            for t, row in zip(tokens, rows[[0, 2, 3]].T, strict=True)
        )
        series.append(
            Series(
                f"layer {l + 1}",
                tokens,
                rows[0],
                rows[2:],
                hovers,
                LAYER_COLORS[l % len(LAYER_COLORS)],
                "circle",
                "solid",
            )
        )
        labels = [(f"{t:.3f}M tokens", f"layer {l + 1}") for t in tokens]
        tables.append(
            words.curve_table(
                loaded,
                f"{shape_of(owner)}, layer {l + 1}: CKA with its end",
                owner,
                owner,
                labels,
                rows[0],
                rows[2:],
                rows[1],
            )
        )
    return series, tables
