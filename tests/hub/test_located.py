"""A copy with noise in one block is located at that block, in words; identical weights are said to be identical."""

from __future__ import annotations

import json
import shutil

import any_folders as folders
import numpy as np
import pytest
import torch

from repdiss_core.__main__ import main
from repdiss_core.bundled import SEPARATOR, TOKENIZER_FILE
from repdiss_core.bundled.family import facts, weights_file
from repdiss_core.bundled.family.recipe import NeoxArchitecture
from repdiss_core.data import bound, open_stream

MEMBER, DEPTH = "mini-neox-4l128-h32-s0", 4
SIZES = ["--tokens-per-sequence", "64", "--tokens-per-batch", "256", "--batches", "3"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A bundled model in a folder, as transformers writes it."""
    from safetensors.torch import load_file

    from repdiss_core.models.decoder import network_of
    from repdiss_core.models.mini_neox import neox_config

    folder = tmp_path_factory.mktemp("models") / "original"
    config = neox_config(NeoxArchitecture(**facts()["models"][MEMBER]["architecture"]))
    network_of(MEMBER, config, load_file(weights_file(MEMBER))).save_pretrained(folder)
    shutil.copy(TOKENIZER_FILE, folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": SEPARATOR}))
    return folder


@pytest.fixture
def book(tmp_path):
    import tiny_repositories as tiny

    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(tiny.text(i, 80) for i in range(30)), encoding="utf-8")
    return path


def copied(original, folder, change=None):
    shutil.copytree(original, folder)
    if change is not None:
        folders.edit_weights(folder, change)
    return folder


def noise_in(block: int, size: float):
    def change(tensors) -> None:
        torch.manual_seed(0)
        for name, tensor in tensors.items():
            if f".layers.{block - 1}." in name and tensor.ndim == 2:
                tensor += size * tensor.std() * torch.randn_like(tensor)

    return change


def compared(capsys, f, g, book, *more):
    """(the map, the last lines of the command)."""
    assert main(["compare", f"path:{f}", f"path:{g}", "--data", f"path:{book}", *SIZES, *more]) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err.splitlines()


@pytest.mark.parametrize("block", [1, 3, 4])
def test_noise_in_one_block_is_located_there(original, tmp_path, book, capsys, block) -> None:
    noisy = copied(original, tmp_path / "noisy", noise_in(block, 0.2))
    form, lines = compared(capsys, original, noisy, book)
    diagonal = np.diag(form["values"])
    assert diagonal[: block - 1] == pytest.approx(1, abs=1e-6) and (diagonal[block - 1 :] < 0.9999).all()
    where = "in layer 4, the last, alone" if block == DEPTH else f"from layer {block} on"
    assert lines[-1].startswith(f"path:{original} and path:{noisy} differ {where}: CKA on the diagonal is ")
    assert (
        f"{'1 up to layer ' + str(block - 1) + ' and ' if block > 1 else ''}{diagonal[block - 1]:.3f}"[:-2] in lines[-1]
    )
    low, high = (np.diag(form["interval"][end])[block - 1] for end in ("lower", "upper"))
    assert f"[{low:.3f}"[:-1] in lines[-1] and f"{high:.3f}"[:-1] in lines[-1]
    _, lines = compared(capsys, original, noisy, book, "--massive", "dropped")
    assert lines[-1].endswith(": few tokens do not decide it.")
    assert "With massive tokens they differ from the same layer on" in lines[-1]


def test_equal_weights_are_identical_whatever_their_files(original, tmp_path, book, capsys) -> None:
    twin = copied(original, tmp_path / "twin")
    _, lines = compared(capsys, original, twin, book)
    assert lines[-1] == f"path:{original} and path:{twin} have identical weights: the hashes of their files agree."
    parts = copied(original, tmp_path / "parts")
    folders.shard(parts)
    _, lines = compared(capsys, original, parts, book)
    assert lines[-1].endswith("have identical weights: every tensor is equal, though the hashes of their files differ.")


def test_a_difference_that_no_layer_shows_is_rounding(original, tmp_path, book, capsys) -> None:
    def nudge(tensors) -> None:
        tensors["embed_out.weight"] += 1e-3  # behind the last layer

    other = copied(original, tmp_path / "other", nudge)
    _, lines = compared(capsys, original, other, book)
    assert "show no difference beyond rounding in any layer: 1 − CKA on the diagonal is at most" in lines[-1]


def test_models_of_other_shapes_and_one_model_itself_have_no_such_sentence(capsys) -> None:
    from repdiss_core.studies.pair.located import are_alike

    assert not are_alike("mini-gelu-3l-s0", "mini-gelu-4l-s0") and not are_alike(MEMBER, MEMBER)
    assert are_alike("mini-gelu-3l-s0", "mini-gelu-3l-s1") and are_alike(MEMBER, f"random:{MEMBER}")


def test_a_map_that_few_tokens_decide_says_so_in_its_last_line_and_its_notes(original, tmp_path, book, capsys) -> None:
    stream = open_stream(bound(f"path:{book}", f"path:{original}"), "eval", 4, 64)
    counts = np.array([np.bincount(stream.batch(i).tokens.ravel(), minlength=4096) for i in range(3)])
    rare = int(np.flatnonzero((counts.min(axis=0) > 0) & (counts.max(axis=0) < 8))[0])

    def stretch(tensors) -> None:
        tensors["gpt_neox.embed_in.weight"][rare] *= 3000

    def stretch_with_noise(tensors) -> None:
        stretch(tensors)
        noise_in(3, 0.2)(tensors)

    f, g = copied(original, tmp_path / "f", stretch), copied(original, tmp_path / "g", stretch_with_noise)
    form, lines = compared(capsys, f, g, book)
    assert lines[-1].startswith("Massive tokens decide layers 1 to 4 of path:")
    assert "of 256 tokens per batch, longer than 5 times the median" in lines[-1] and "at position" in lines[-1]
    assert lines[-1].endswith("Choose “without massive tokens” (--massive dropped) for the map without them.")
    assert form["notes"] == [lines[-1]]
    form, without = compared(capsys, f, g, book, "--massive", "dropped")
    assert form["notes"] == [] and "differ from layer 3 on" in without[-1]
    _, lines = compared(capsys, f, g, book)
    assert "few tokens decide" in lines[-2] and "Without massive tokens" in lines[-2], lines[-2]
