"""A whole GPT-NeoX family as facts alone, and maps in which an answer was planted:
nothing of it was trained or measured."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from repdiss_core.bundled import family as place
from repdiss_core.bundled.family.recipe import FAMILY_MEMBERS, FamilyMember, NeoxArchitecture, checkpoint_name
from repdiss_core.models import MODELS, model_spec
from repdiss_core.models import family as models
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.population import Origin
from repdiss_core.studies.scaling import question
from repdiss_core.studies.scaling.family_maps import FamilyMaps, PairMap
from repdiss_core.studies.scaling.question import FamilyParams
from repdiss_core.studies.scaling.stored import FamilyResults

SUSPECT, TWIN, LARGEST = "4l128-h8", "4l128-h32", "8l192-h32"
DEEP = ("6l160-h32", "8l192-h32")  # the shapes of six layers or more
STEPS = 4000
ODD_LOSS = 0.3  # by which the suspect is worse than its twin


def size(a: NeoxArchitecture) -> int:
    """Parameters of the embeddings and the blocks."""
    return 2 * a.vocab_size * a.d_model + 12 * a.n_layers * a.d_model**2


def loss(member: FamilyMember, step: int) -> float:
    """Falls with size and training; no two seeds alike."""
    end = (
        3.4
        - 0.4 * (math.log10(size(member.architecture)) - 6)
        + 0.001 * (member.seed % 10)
        + (ODD_LOSS if member.role == "odd" else 0.0)
    )
    return end + 1.0 - step / STEPS


def pretend(
    monkeypatch, folder: Path, names: tuple[str, ...] = tuple(FAMILY_MEMBERS), random_weights: bool = False
) -> None:
    """Makes these members, with the checkpoints that ship beside them, the trained family.

    Args:
        random_weights: whether the files hold untrained weights that can be loaded; without, they are empty.
    """
    folder.mkdir(exist_ok=True)
    known = {}
    for name in names:
        member = FAMILY_MEMBERS[name]
        for step in (*member.shipped_steps, STEPS):
            final = step == STEPS
            own = name if final else checkpoint_name(name, step)
            known[own] = {
                "architecture": asdict(member.architecture),
                "seed": member.seed,
                "shape": member.shape,
                "weights": _write_weights(folder / f"{own}.safetensors", member, random_weights),
                "n_parameters": size(member.architecture),
                "validation_loss": loss(member, step),
                "tokens_seen": step * 1024,
                "checkpoint_of": None if final else name,
            }
    (folder / "facts.json").write_text(json.dumps({"models": known, "tokenizer": {"sha256": "t" * 64}}))
    monkeypatch.setattr(place, "FACTS_FILE", folder / "facts.json")
    monkeypatch.setattr(place, "WEIGHTS_FOLDER", folder)
    models._read.cache_clear()
    place._read.cache_clear()
    for name in [name for name, spec in MODELS.items() if spec.family == models.FAMILY]:
        monkeypatch.delitem(MODELS, name)
    for name, spec in models.family_models().items():
        monkeypatch.setitem(MODELS, name, spec)


def _write_weights(file: Path, member: FamilyMember, random_weights: bool) -> str:
    """Hash of the file; of its name where it is empty."""
    if not random_weights:
        file.touch()
        return hashlib.sha256(file.name.encode()).hexdigest()
    from safetensors.torch import save_file

    from repdiss_core.models.mini_neox import new_model

    save_file(new_model(member.architecture, member.seed).state_dict(), file)
    return hashlib.sha256(file.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Planted:
    """What the maps of a family shall show.

    Args:
        level: mean CKA of two members of one size.
        tilt: early minus late, from the first to the last layer of both.
        wild: standard deviation of the tilt from shape to shape.
        slope: CKA lost a factor of ten between their sizes.
        noise: standard deviation of a model's own deviation, seeds of one shape included.
        odd: {shape: what its maps with all others have more or less}.
        layers: {(name or shape, layer counted from 1): what that layer has more or less in maps with others}.
        within, within_slope, within_noise: mean CKA within a model, how it grows with log10 of the parameters, and how
            it varies from shape to shape.
        blocks: {shape: first layers of its blocks, counted from 0}.
    """

    level: float = 0.75
    tilt: float = 0.2
    wild: float = 0.0
    slope: float = 0.05
    noise: float = 0.003
    odd: dict[str, float] = field(default_factory=dict)
    layers: dict[tuple[str, int], float] = field(default_factory=dict)
    within: float = 0.6
    within_slope: float = 0.1
    within_noise: float = 0.003
    blocks: dict[str, tuple[int, ...]] = field(default_factory=dict)


def planted(
    n_batches: int = 3, missing: tuple[tuple[str, str], ...] = (), params: FamilyParams | None = None, **shown
) -> FamilyResults:
    """The pretended family with maps that show just this; pairs in `missing` are not there."""
    params, answer = params or FamilyParams(), Planted(**shown)
    names = question.members(params.family)
    wanted = question.family_pairs(names) + question.checkpoint_pairs(params.family)
    pairs = {}
    for f, g in wanted:
        if (f, g) not in missing:
            noise = 0.002 * _generator(f"{f} {g}").standard_normal(n_batches)
            values = _map(answer, f, g) + (noise - noise.mean())[:, None, None]
            if f == g:
                values[:, np.arange(values.shape[1]), np.arange(values.shape[1])] = 1.0
            pairs[f, g] = PairMap(values, None, 0, 1024 * n_batches, ({}, {}))
    origin = Origin("local", 0.0, len(wanted) - len(pairs))
    depths = tuple(model_spec(name).n_layers for name in names)
    maps = FamilyMaps(names, depths, pairs, 0 if origin.n_missing else n_batches, len(wanted), origin, 1024)
    return FamilyResults(params, maps, tuple(model_spec(name) for name in names))


def keep(store: ResultStore, loaded: FamilyResults, dropped_token: int | None = None) -> None:
    """Puts a planted family into a test's own cache: HSIC values whose CKA are these maps.

    Args:
        dropped_token: one that was left out twice a batch, 40 times as long as the median in layer 2.
    """
    with store.together():
        for panel in question.all_panels(loaded.params):
            found = loaded.maps.map(panel.row_name, panel.column_name)
            assert found is not None
            cross = found.values.transpose(0, 2, 1) if panel.swapped else found.values
            n, lf, lg = cross.shape
            arrays = {
                "cross": cross,
                "self_f": np.ones((n, lf)),
                "self_g": np.ones((n, lg)),
                "n_tokens": np.full(n, 1024),
            }
            if dropped_token is not None:
                arrays["n_tokens"] -= 2
                for side, depth in (("f", lf), ("g", lg)):
                    arrays[f"peak_{side}"] = np.where(np.arange(depth) == 1, 40.0, 2.0) * np.ones((n, 1))
                    arrays[f"tokens_{side}"] = np.tile([dropped_token, *[-1] * 7], (n, 1))
            meta = {"comparison": panel.comparison.to_dict(), "notes": [], "provenance": {"generated": "for a test"}}
            store.put(panel.comparison.key, arrays, meta)


def _generator(what: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(what.encode()))


def _map(answer: Planted, f: str, g: str) -> np.ndarray:
    """(L_f, L_g) the mean map of two models."""
    depth = [(np.arange(model_spec(name).n_layers) + 0.5) / model_spec(name).n_layers for name in (f, g)]
    band = np.abs(np.subtract.outer(*depth))
    if f == g:
        return _within(answer, f, band)
    shapes = [question.shape_of(name) for name in (f, g)]
    tilt = answer.tilt + answer.wild * sum(_generator(shape).standard_normal() for shape in shapes)
    values = answer.level + tilt * (0.5 - np.add.outer(*depth) / 2) - 0.1 * (band - band.mean())
    values -= answer.slope * abs(_log_size(f) - _log_size(g))
    for name, shape in zip((f, g), shapes, strict=True):
        values += answer.noise * _generator(f"own {name}").standard_normal() + answer.odd.get(shape, 0.0)
    for (who, layer), effect in answer.layers.items():
        if who in (f, shapes[0]):
            values[layer - 1, :] += effect
        if who in (g, shapes[1]):
            values[:, layer - 1] += effect
    return values


def _within(answer: Planted, name: str, band: np.ndarray) -> np.ndarray:
    shape, off = question.shape_of(name), ~np.eye(len(band), dtype=bool)
    values = answer.within + answer.within_slope * (_log_size(name) - 6) - 0.3 * (band - band[off].mean())
    values += answer.within_noise * _generator(f"within {shape}").standard_normal()
    if shape in answer.blocks:
        label = np.searchsorted(answer.blocks[shape], np.arange(len(band)), side="right")
        values += np.where(np.equal.outer(label, label), 0.15, -0.15)
    np.fill_diagonal(values, 1.0)
    return values


def _log_size(name: str) -> float:
    return math.log10(model_spec(name).n_parameters)
