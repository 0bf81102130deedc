"""Processes that start quickly (torch is loaded once and forked), and the undisturbed results that others must equal."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time

import pytest
from faulting import new_cache, small_request, values

from repdiss_core.cache import ResultStore
from repdiss_core.paths import cache_root

_TOOK: list[float] = []
PRELOADED = [
    "torch",
    "repdiss_core.engine.run",
    "repdiss_core.engine.stitch_pass",
    "repdiss_core.models.hooked",
    "repdiss_core.measures.cka",
    "faulting",
]


@pytest.fixture(scope="session")
def forking():
    """A multiprocessing context whose processes begin with everything imported, in a few hundredths of a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


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
    request = small_request()
    for _ in range(2):  # the second time everything is loaded: that is how long the computation itself takes
        shutil.rmtree(root / "local" / "results", ignore_errors=True)
        shutil.rmtree(root / "local" / "checkpoints", ignore_errors=True)
        began = time.monotonic()
        process = forking.Process(target=compute, args=(str(root), request.to_dict()))
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
    """Children find this folder and keep to one thread."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), *filter(None, [os.environ.get("PYTHONPATH")])]))
