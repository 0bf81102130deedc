"""Results carried from one machine to another, and bundles that are not what they say."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from repdiss_core import hub as client
from repdiss_core.__main__ import main
from repdiss_core.base.errors import UserError
from repdiss_core.runs.bundle import import_bundle
from repdiss_core.store.cache import ResultStore

OPTIONS = ["--models", "paper", "--preset", "tiny"]


@pytest.fixture
def bundle(computed_bundle, tmp_path, monkeypatch):
    """The file on a machine that has neither the models nor a network."""
    out = tmp_path / "fig4.safetensors"
    out.write_bytes(computed_bundle)
    monkeypatch.setenv("REPDISS_CACHE", str(tmp_path / "laptop"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "nothing"))
    return out


def test_a_figure_that_was_computed_elsewhere_is_drawn_here(bundle, tmp_path, capsys):
    drawn = tmp_path / "fig4.json"
    assert main(["figure", "fig4", "--out", str(drawn), *OPTIONS]) == 2
    assert "not in the cache at these settings" in capsys.readouterr().err
    assert main(["cache", "import", str(bundle)]) == 0
    assert "3 results from fig4.safetensors are here now" in capsys.readouterr().out
    assert main(["figure", "fig4", "--out", str(drawn), *OPTIONS]) == 0, capsys.readouterr()
    assert [len(panel["values"]) for panel in json.loads(drawn.read_text())["panels"]] == [3, 3, 3]
    store = ResultStore.open()
    assert (
        len(store.keys("imported")) == 3
        and store.keys("local") == []
        and store.get(store.keys("imported")[0]).origin == "imported"
    )
    assert main(["cache", "verify"]) == 0


def test_a_running_page_sees_what_is_imported(bundle):
    store = ResultStore.open()
    assert store.keys("imported") == []
    import_bundle(ResultStore.open(), bundle)
    assert len(store.keys("imported")) == 3


def test_a_revision_that_stands_for_another_commit_here_is_told(bundle):
    client.remember("model:NeelNanda/GELU_3L512W_C4_Code@main", {"commit": "a" * 40, "files": {}})
    notes = import_bundle(ResultStore.open(), bundle).notes
    assert any("stands for commit aaaaaaaa here" in note and "its results are those of name@" in note for note in notes)


def rewritten(bundle, change):
    """The bundle after a change of its metadata and arrays."""
    arrays = safetensors.numpy.load_file(bundle)
    with safe_open(str(bundle), framework="numpy") as file:
        meta = dict(file.metadata())
    index, pins = json.loads(meta["entries"]), json.loads(meta["pins"])
    change(arrays, index, pins, meta)
    meta |= {"entries": json.dumps(index), "pins": json.dumps(pins)}
    bundle.write_bytes(safetensors.numpy.save(arrays, metadata=meta))


def first(index):
    return next(iter(index))


def rename(arrays, index, old, new):
    index[new] = index.pop(old)
    for name in [n for n in arrays if n.startswith(old)]:
        arrays[name.replace(old, new)] = arrays.pop(name)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda a, i, p, m: a.update({f"{first(i)}/cross": a[f"{first(i)}/cross"] + 1}),
            "does not have the hash that is stated; nothing was kept",
        ),
        (lambda a, i, p, m: i[first(i)]["meta"].update(notes=["forged"]), "does not have the hash that is stated"),
        (lambda a, i, p, m: i[first(i)].update(sha256="0" * 64), "does not have the hash that is stated"),
        (lambda a, i, p, m: rename(a, i, first(i), "../" * 10 + "etc/passwd"), "whose name is not one of ours"),
        (lambda a, i, p, m: rename(a, i, first(i), "f" * 64), "passes for another comparison than it holds"),
        (lambda a, i, p, m: a.update(stowaway=np.zeros(2)), "holds arrays that belong to no result"),
        (
            lambda a, i, p, m: p.update({"model:org/x@main": {"commit": "a" * 40, "files": {"../../.bashrc": 1}}}),
            "in a form that is not ours",
        ),
        (
            lambda a, i, p, m: p.update({"model:org/x@main": {"commit": "main", "files": {}}}),
            "in a form that is not ours",
        ),
        (lambda a, i, p, m: p.update({"separator:org/x": "x" * 200}), "in a form that is not ours"),
        (lambda a, i, p, m: p.update({"something": 1}), "in a form that is not ours"),
        (lambda a, i, p, m: m.update(format="other"), "is not a bundle of RepDiss"),
        (lambda a, i, p, m: i[first(i)].pop("meta"), "cannot be read as a bundle .*KeyError"),
    ],
)
def test_bundles_that_are_not_what_they_say(bundle, change, sentence):
    rewritten(bundle, change)
    with pytest.raises(UserError, match=sentence):
        import_bundle(ResultStore.open(), bundle)
    assert ResultStore.open().keys("imported") == []


def test_pickles_and_broken_files_are_never_opened(bundle, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    for data in (pickle.dumps(Bomb()), b"", bundle.read_bytes()[:-9]):
        bundle.write_bytes(data)
        with pytest.raises(UserError, match="cannot be read as a bundle"):
            import_bundle(ResultStore.open(), bundle)
    assert not (tmp_path / "ran").exists()


def test_what_is_not_there_cannot_be_exported(bundle, capsys, monkeypatch):
    assert main(["cache", "export", "abcdefabcdefabcdef", "-o", "x.safetensors"]) == 2
    assert "0 results computed here begin with 'abcdefabcdefabcdef'" in capsys.readouterr().err
    assert main(["cache", "export", "all", "-o", "x.safetensors"]) == 2
    assert "There is nothing to export" in capsys.readouterr().err
    assert main(["cache", "export", "fig4", "-o", "x.pickle"]) == 2
    assert "this command writes .safetensors" in capsys.readouterr().err
    monkeypatch.setenv("REPDISS_READONLY", "1")
    assert main(["cache", "import", str(bundle)]) == 2
    assert "forbids importing" in capsys.readouterr().err


def test_a_path_in_a_strangers_bundle_is_not_looked_at(monkeypatch):
    """Nor where it is hidden in the name of an untrained twin."""
    from repdiss_core.base.comparison import Comparison, DataId, ModelId
    from repdiss_core.runs import bundle

    data = DataId("docstrings", "eval", "c", 8, 128)
    asked: list[str] = []
    monkeypatch.setattr(bundle, "model_spec", lambda name: asked.append(name))
    assert [
        bundle._n_layers(Comparison("cka", ModelId(name, "w"), ModelId(name, "w"), data), ModelId(name, "w"))
        for name in ("path:/etc", "random:path:/etc", "random:7:path:/etc")
    ] == [None] * 3
    assert not asked
