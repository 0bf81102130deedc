"""The command line: results, exports, and one sentence with exit status 2 for bad arguments."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

import numpy as np
import pytest

from repdiss_core.__main__ import main

F, G = "mini-solu-3l-s0", "mini-gelu-3l-s0"
TINY = ("--preset", "tiny")


@pytest.mark.parametrize("kind", ["models", "data", "measures", "studies", "figures"])
def test_lists(kind, capsys) -> None:
    assert main(["list", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows and all({"name", "source", "summary"} <= row.keys() for row in rows)
    assert main(["list", kind]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows)


def test_models_are_listed_with_facts(capsys) -> None:
    main(["list", "models", "--json"])
    model = next(row for row in json.loads(capsys.readouterr().out) if row["name"] == F)
    assert model["source"] == "bundled" and model["n_layers"] == 3 and model["activation"].startswith("solu")


def test_compare_writes_values_errors_labels_and_provenance(tmp_path, capsys) -> None:
    out = tmp_path / "pair.json"
    assert main(["compare", F, G, "--batches", "4", "--out", str(out)]) == 0
    form = json.loads(out.read_text())
    assert (form["rows"], form["columns"], form["n_batches"]) == (F, G, 4)
    assert np.array(form["values"]).shape == np.array(form["standard_error"]).shape == (3, 3)
    assert form["row_labels"] == form["column_labels"] == ["1", "2", "3"]
    assert form["comparison"]["settings"] == {"estimator": "unbiased", "flatten": "token"}
    assert {"versions", "threads", "key", "tokens"} <= form["provenance"].keys()
    table = tmp_path / "pair.csv"
    assert main(["compare", F, G, "--batches", "4", "--out", str(table)]) == 0
    rows = list(
        csv.DictReader(
            io.StringIO("".join(line for line in table.read_text().splitlines(True) if not line.startswith("#")))
        )
    )
    assert len(rows) == 9
    assert float(rows[0]["value"]) == form["values"][0][0]


def test_rows_are_the_first_model_whatever_the_order(tmp_path) -> None:
    for name, pair in (("a", (F, G)), ("b", (G, F))):
        assert main(["compare", *pair, "--batches", "4", "--out", str(tmp_path / f"{name}.json")]) == 0
    a, b = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    np.testing.assert_array_equal(np.array(a["values"]), np.array(b["values"]).T)


def test_identity_stitching_of_a_model_into_itself_costs_nothing(capsys) -> None:
    assert main(["compare", G, G, "--measure", "identity_stitching", "--batches", "2"]) == 0
    loss, penalty = json.loads(capsys.readouterr().out)
    assert penalty["values"] == [0.0, 0.0, 0.0]
    assert loss["values"][0] == pytest.approx(loss["own_loss"][G])


def test_stitching_of_chosen_layers(capsys) -> None:
    assert (
        main(["compare", F, G, "--measure", "stitching", "--stitch", "tiny", "--batches", "2", "--layers", "1:2,3:3"])
        == 0
    )
    loss, penalty = json.loads(capsys.readouterr().out)
    assert (loss["row_labels"], loss["column_labels"]) == (["1", "3"], ["2", "3"])
    assert all(value > 0 for value in penalty["values"])
    assert all(value is not None for value in loss["closed_form"])


def test_run_and_figure_in_every_format(tmp_path, capsys) -> None:
    assert (
        main(
            [
                "figure",
                "fig4",
                "--out",
                str(tmp_path / "no.json"),
                *TINY,
                "--estimator",
                "biased",
                "--resid-mean",
                "kept",
            ]
        )
        == 2
    )
    assert "is not in the cache at these settings. Compute it first" in capsys.readouterr().err
    assert main(["run", "fig4", *TINY]) == 0
    for ending in ("json", "csv", "html"):
        assert main(["figure", "fig4", *TINY, "--out", str(tmp_path / f"fig4.{ending}")]) == 0
    form = json.loads((tmp_path / "fig4.json").read_text())
    assert [panel["title"] for panel in form["panels"]] == [
        "Within GeLU",
        "Within SoLU",
        "Between: rows SoLU, columns GeLU",
    ]
    page = (tmp_path / "fig4.html").read_text()
    assert "Plotly.newPlot" in page and 'src="http' not in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["compare", "mini-gelu-3l-s9", G], "There is no model named 'mini-gelu-3l-s9'. Did you mean mini-gelu-3l-s"),
        (["compare", F, G, "--measure", "cosine"], "Invalid value for '--measure'"),
        (["compare", F, G, "--data", "docstring"], "There is no data set named 'docstring'. Did you mean docstrings"),
        (
            ["compare", F, G, "--measure", "stitching", "--layers", "4:1"],
            "has layers 0 .embedding. to 3; layer 4 was asked for",
        ),
        (
            ["compare", F, G, "--measure", "stitching", "--layers", "x"],
            "'x' is not a pair. Write layer of f : layer of g",
        ),
        (["compare", F, G, "--measure", "stitching", "--layers", "²:1"], "'²:1' is not a pair"),
        (["compare", F, G, "--measure", "stitching", "--stitch", "slow"], "There is no stitching preset named 'slow'"),
        (["compare", F, G, "--tokens-per-batch", "1000"], "is not a multiple of --tokens-per-sequence 128. Try 896"),
        (["compare", F, G, "--batches", "100000"], "100000 were asked for. Ask for at most"),
        (["compare", F, G, "--flatten", "sample", "--tokens-per-batch", "256", "--batches", "2"], "4"),
        (["compare", F, G, "--estimator", "sequence_aware", "--tokens-per-batch", "256", "--batches", "2"], "4"),
        (["compare", F, G, "--out", "x.txt"], "this command writes .json or .csv"),
        (["compare", F, G, "--out", "nowhere/x.json"], "the folder nowhere does not exist"),
        (["compare", F, G, "--out", "x" * 300 + ".json"], "the name of a file has at most 255 bytes. Shorten it"),
        (["compare", F, G, "--batches", "9" * 5000], "Invalid value for '--batches': '9+ … 9+' is not a valid"),
        (["cache", "import", "9" * 5000], "There is no file 9{300}. Name one that `cache export` wrote"),
        (["figure", "fig44", "--out", "x.json"], "There is no figure named 'fig44'"),
        (["figure", "fig3", "--family", "pythian", "--out", "x.json"], "There is no family named 'pythian'"),
        (["compare", "--out", "\0"], "an argument holds a null character"),
        (["list", "\ud800"], "an argument holds half of a character"),
        (["compare", F, G, "--measure", "stitching", "--layers", "9" * 5000 + ":1"], "'9{20}' is not a pair"),
        (["compare", "pythia-70m@²", "pythia-70m"], "pythia-70m@² is not on this machine"),
        (["compare", "m" * 301, G], "The name of a model has at most 300 characters; 'm{40}'… has 301"),
        (["compare", "path:~nosuchperson/x", G], "There is no home folder for ~nosuchperson"),
        (["compare", F, G, "--data", "path:" + "9" * 290], "There is no file 9{290}"),
        (["figure", "table1", "--out", "x.svg"], "this command writes .json or .csv or .html"),
        (["run"], "Name at least one figure"),
        (["run", "fig4", "--preset", "huge"], "There is no preset named 'huge'"),
        (["run", "--job", "../../etc/passwd"], "is not a job's id"),
        (["prune"], "No such command 'prune'"),
    ],
)
def test_bad_arguments_are_one_sentence_and_status_2(arguments, sentence, capsys) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("repdiss: ") and "Traceback" not in said
    assert re.search(sentence, said), said


def test_a_folder_that_takes_no_file_is_told_before_anything_is_computed(tmp_path, capsys, monkeypatch) -> None:
    import os

    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main(["compare", F, G, "--out", str(tmp_path / "x.json")]) == 2
    assert re.search("nothing can be written to the folder .*. Name another", capsys.readouterr().err)


def test_an_unexpected_fault_is_one_line_without_paths(capsys, monkeypatch) -> None:
    from pathlib import Path

    from repdiss_core.cli import compute

    def break_down(*_: object) -> None:
        raise OSError(5, "Input/output error", f"{Path.home()}/secret")

    monkeypatch.setattr(compute, "compute", break_down)
    assert main(["compare", F, G]) == 3
    said = capsys.readouterr().err
    assert said == ("repdiss: an unexpected fault (OSError: Input/output error). What was finished is kept. "
        "Check the folders that you named; "
                    "REPDISS_TRACEBACK=1 shows where it arose.\n")  # fmt: skip
    monkeypatch.setenv("REPDISS_TRACEBACK", "1")
    with pytest.raises(OSError, match="Input/output"):
        main(["compare", F, G])


def test_cache_commands(capsys, monkeypatch) -> None:
    assert main(["compare", F, F, "--batches", "4"]) == 0
    capsys.readouterr()
    assert main(["cache", "info"]) == 0
    assert "1 computed here" in capsys.readouterr().out
    assert main(["cache", "verify"]) == 0
    assert " 0 are damaged" in capsys.readouterr().out
    assert main(["cache", "prune", "--yes"]) == 0
    assert main(["cache", "info"]) == 0
    assert "1 computed here" in capsys.readouterr().out
    assert main(["cache", "prune", "--all", "--yes"]) == 0
    assert main(["cache", "info"]) == 0
    assert "0 computed here" in capsys.readouterr().out
    monkeypatch.setenv("REPDISS_READONLY", "1")
    assert main(["cache", "prune", "--yes"]) == 2
    assert "forbids pruning" in capsys.readouterr().err


def figure_json(tmp_path, figure_id: str, *options: str) -> list[dict]:
    """The panels that `figure` writes."""
    out = tmp_path / f"{figure_id}.json"
    assert main(["figure", figure_id, "--out", str(out), *options]) == 0
    return json.loads(out.read_text())["panels"]


def test_a_family_is_computed_and_written(tmp_path, monkeypatch, capsys) -> None:
    """Untrained members of the family's shapes, from weights to numbers."""
    from neox_family import pretend

    from repdiss_core.studies.scaling.question import FAMILIES, MINI

    shapes = ("2l64-h32", "3l96-h32")  # as many as it takes: wider ones cost seconds
    monkeypatch.setitem(FAMILIES, MINI, dataclasses.replace(FAMILIES[MINI], within=shapes))
    pretend(monkeypatch, tmp_path / "family", tuple(f"mini-neox-{shape}-s0" for shape in shapes), random_weights=True)
    assert main(["figure", "fig10", "--out", str(tmp_path / "no.json"), *TINY]) == 2
    assert re.search(
        r"Fig 10 is not in the cache at these settings\. Compute it first: .*run fig10`", capsys.readouterr().err
    )
    assert main(["run", "fig10", *TINY]) == 0
    panels = figure_json(tmp_path, "fig10", *TINY)
    assert [panel["title"] for panel in panels] == [f"Within {shape}-s0" for shape in shapes]
    for panel, depth in zip(panels, (2, 3), strict=True):
        values = np.array(panel["values"])
        assert values.shape == (depth, depth) and panel["n_batches"] == 4
        np.testing.assert_allclose(np.diag(values), 1, atol=1e-9)
        np.testing.assert_allclose(values, values.T, atol=1e-9)
    assert main(["figure", "fig10", "--out", str(tmp_path / "no.json"), *TINY, "--massive", "dropped"]) == 2
    for ending in ("csv", "html"):
        assert main(["figure", "fig10", *TINY, "--axes", "relative", "--out", str(tmp_path / f"fig10.{ending}")]) == 0


def test_family_figures_and_table_1_are_the_pages_numbers(tmp_path, monkeypatch) -> None:
    from neox_family import SUSPECT, keep, planted, pretend

    from repdiss_core.store.cache import ResultStore
    from repdiss_core.studies.scaling.claims import odd_shapes
    from repdiss_core.studies.scaling.question import FamilyParams, figure_panels
    from repdiss_core.studies.scaling.stored import load_family_results
    from repdiss_core.studies.words import departure_sentence

    pretend(monkeypatch, tmp_path / "family")
    monkeypatch.setattr("repdiss_core.store.cache.bundled_root", lambda: tmp_path / "bundled")
    keep(ResultStore.open(), planted(n_batches=100, odd={SUSPECT: -0.1}))
    page = load_family_results(ResultStore.open(), FamilyParams())
    for form, panel in zip(figure_json(tmp_path, "fig3"), figure_panels(FamilyParams(), "fig3")[0], strict=True):
        assert (form["rows"], form["columns"]) == (panel.row_name, panel.column_name)
        np.testing.assert_allclose(form["values"], page.maps.map(panel.row_name, panel.column_name).mean, atol=1e-12)
    family, pythia = figure_json(tmp_path, "table1")
    marks = {row["name"]: row["analysis"] for row in family["rows"] if row["analysis"]}
    assert marks == {SUSPECT: departure_sentence(odd_shapes(page)[SUSPECT])}
    assert len(pythia["rows"]) == 8 and not any(row["analysis"] for row in pythia["rows"])
    for ending in ("csv", "html"):
        assert main(["figure", "table1", "--out", str(tmp_path / f"table1.{ending}")]) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table1.csv").read_text())))
    assert len(rows) == 14 and next(row for row in rows if row["name"] == "pythia-2.8b")["d_head"] == "80"
    assert {row["source"] for row in rows if row["name"].startswith("pythia")} == {"published figures, shipped"}
    assert SUSPECT in (tmp_path / "table1.html").read_text()
