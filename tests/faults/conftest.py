"""Processes that start quickly (torch is loaded once and forked),
and the undisturbed results that others must equal."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from multiprocessing import forkserver

import pytest
from faulting import cases, new_cache, small_request, values

from repdiss_core.base.paths import cache_root
from repdiss_core.store.cache import ResultStore

_MAIN = sys.modules["__main__"]
_TOOK: list[float] = []
PRELOADED = [
    "torch",
    "repdiss_core.engine.run",
    "repdiss_core.engine.stitch_pass",
    "repdiss_core.models.hooked",
    "repdiss_core.measures.cka",
    "faulting",
]


def pytest_collection_finish(session) -> None:
    """Where a test forks, the process that it forks from starts to import at once, beside the tests before it."""
    if any("forking" in getattr(item, "fixturenames", ()) for item in session.items):
        multiprocessing.set_forkserver_preload(PRELOADED)
        with pytest.MonkeyPatch.context() as patch:
            find_this_folder(patch)
            forkserver.ensure_running()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item) -> None:
    """A test that ran a page has left it as the main module, which every child would run again."""
    sys.modules["__main__"] = _MAIN


@pytest.fixture(scope="session")
def forking():
    """A multiprocessing context whose processes begin with everything imported, in a few hundredths of a second."""
    return multiprocessing.get_context("forkserver")


@pytest.fixture(scope="session")
def shared_data():
    """The token streams of this machine, built once."""
    return cache_root() / "local" / "data"


@pytest.fixture
def new_root(tmp_path, shared_data):
    """Makes cache roots that are empty but for the token streams."""
    made = []

    def make() -> str:
        made.append(new_cache(tmp_path / f"root-{len(made)}", shared_data))
        return str(made[-1])

    return make


@pytest.fixture(scope="session")
def undisturbed(forking, tmp_path_factory, shared_data):
    """(request, arrays by key) of the small request, computed once without any fault."""
    from faulting import compute

    root = new_cache(tmp_path_factory.mktemp("undisturbed"), shared_data)
    request = small_request(cases(3, 6))
    for target, arguments in (
        (int, ()),
        (compute, (str(root), request.to_dict())),
    ):  # once the first has run, everything is imported
        began = time.monotonic()
        process = forking.Process(target=target, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == 0
    _TOOK.append(time.monotonic() - began)
    return request, values(ResultStore(root / "local", root / "none"), request)


@pytest.fixture
def duration(undisturbed) -> float:
    """Seconds that the undisturbed computation took."""
    return _TOOK[-1]


@pytest.fixture(autouse=True)
def quick_start(monkeypatch):
    """Children find this folder."""
    find_this_folder(monkeypatch)


def find_this_folder(patch: pytest.MonkeyPatch) -> None:
    """Put it before what children look for modules in."""
    patch.setenv(
        "PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), *filter(None, [os.environ.get("PYTHONPATH")])])
    )


@pytest.fixture
def nothing_planted(tmp_path, monkeypatch):
    """No case makes a file beside the cache, and none runs code."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    assert os.listdir(tmp_path / "here") == []
