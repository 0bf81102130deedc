"""Maps of stitches: every layer of f into every layer of g, as heatmaps of loss or penalty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.results import LayerMatrix
from repdiss_core.measures import spec_of
from repdiss_core.measures.reduction import mean_interval
from repdiss_core.models import model_spec
from repdiss_core.plots.layer_heatmap import LOSS_SCALE, PENALTY_SCALE, HeatmapPanel, heatmap_row
from repdiss_core.plots.theme import Look
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import Entry, origin_and_time
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.common import phi_words, stitch_comparison
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.panels import load_stitch
from repdiss_core.studies.presets import Preset
from repdiss_core.studies.rows import check_stitched
from repdiss_core.studies.tables import Sample, Table


@dataclass(frozen=True)
class StitchMap:
    """One map: `comparisons[l][m]` stitches layer l + 1 of f into layer m + 1 of g."""

    title: str
    f: str
    g: str
    comparisons: tuple[tuple[Comparison, ...], ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(layers of f, layers of g)."""
        return len(self.comparisons), len(self.comparisons[0])


def pair_maps(f: str, g: str, setting: Preset, stitch: str, measure: str) -> tuple[StitchMap, ...]:
    """Within f, within g, f into g, and g into f; one map alone where f is g."""
    check_stitched(f, g, setting.data)
    if f == g:
        return (_map(f"Within {f}", f, f, setting, stitch, measure),)
    return (
        _map(f"Within {f}", f, f, setting, stitch, measure),
        _map(f"Within {g}", g, g, setting, stitch, measure),
        _map("Between: f into g", f, g, setting, stitch, measure),
    )


def _map(title: str, f: str, g: str, setting: Preset, stitch: str, measure: str) -> StitchMap:
    depth_f, depth_g = model_spec(f).n_layers, model_spec(g).n_layers
    rows = tuple(
        tuple(stitch_comparison(f, g, (l, m), setting, stitch, measure) for m in range(1, depth_g + 1))
        for l in range(1, depth_f + 1)
    )
    return StitchMap(title, f, g, rows)


def compose_stitch_maps(
    store: ResultStore, maps: tuple[StitchMap, ...], look: Look, setting: Preset, quantity: str, state: str
) -> Drawn:
    """The maps as far as they are stored; cells that are still to come stay empty."""
    loaded = [load_map(store, stitches, quantity) for stitches in maps]
    panels = [
        HeatmapPanel(
            stitches.title,
            stitches.f,
            stitches.g,
            *stitches.shape,
            matrix=matrix,
            pending=np.isnan(matrix.values),
            state=state,
        )
        for stitches, (matrix, _) in zip(maps, loaded, strict=True)
    ]
    entries = [entry for _, found in loaded for entry in found]
    matrices = [matrix for matrix, _ in loaded]
    return Drawn(
        heatmap_row(panels, look, PENALTY_SCALE if quantity == "penalty" else LOSS_SCALE, height=356),
        _caption(maps, setting),
        all(np.isfinite(m.values).all() for m in matrices),
        *origin_and_time(entries),
        [stitch_table(stitches, matrix, quantity) for stitches, matrix in zip(maps, matrices, strict=True)],
    )


def load_map(store: ResultStore, stitches: StitchMap, quantity: str) -> tuple[LayerMatrix, list[Entry]]:
    """The map as far as it is stored, and the entries that it rests on."""
    shape = len(stitches.comparisons), len(stitches.comparisons[0])
    values, error, interval = np.full(shape, np.nan), np.full(shape, np.nan), np.full((2, *shape), np.nan)
    entries, n_sequences = [], 0
    for i, row in enumerate(stitches.comparisons):
        for j, comparison in enumerate(row):
            result, entry = load_stitch(store, comparison)
            if result is None or entry is None or not result.complete:
                continue
            sample = result.penalty if quantity == "penalty" else result.loss
            values[i, j], error[i, j], *interval[:, i, j] = mean_interval(sample)
            entries.append(entry)
            n_sequences = sample.size
    return LayerMatrix(values, error, interval, n_sequences), entries


def _caption(maps: tuple[StitchMap, ...], setting: Preset) -> Caption:
    first = maps[0].comparisons[0][0]
    return Caption(
        models=", ".join(dict.fromkeys(name for stitches in maps for name in (stitches.f, stitches.g))),
        data=f"{first.data.name}, evaluated on the {first.data.split} split",
        amount=(
            f"{first.setting('eval_batches')} batches × {first.data.sequences_per_batch} sequences × "
            f"{first.data.tokens_per_sequence} tokens"
        ),
        estimator=phi_words(first) if first.measure == "stitching" else "phi = id",
        interval="95 % t interval over evaluation sequences",
        departures=setting.departures[:2],
    )


def stitch_table(stitches: StitchMap, matrix: LayerMatrix, quantity: str) -> Table:
    """The map as a table; each cell names its comparison."""
    first = stitches.comparisons[0][0]
    return Table(
        stitches.title,
        "map",
        f=stitches.f,
        g=stitches.g,
        row_labels=tuple(matrix.row_labels),
        column_labels=tuple(matrix.column_labels),
        values=matrix.values,
        standard_error=matrix.standard_error,
        interval=matrix.interval,
        measure=first.measure,
        quantity=quantity,
        unit=spec_of(first).unit,
        sample=Sample("sequence", matrix.n_batches),
        comparisons=stitches.comparisons,
    )
