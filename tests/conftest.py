"""Every test has a cache of its own, one thread, fixed seeds and no network beyond loopback."""

from __future__ import annotations

import os
import socket

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
LOOPBACK = ("127.", "localhost", "::1")
MISSING = (
    "BROWSER TESTS DID NOT RUN: no Chromium on the PATH, or Playwright is not installed. "
    "`apt-get install chromium` and requirements-dev.txt bring them."
)


def pytest_terminal_summary(terminalreporter):
    """A line that cannot be overlooked."""
    if any(MISSING in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(MISSING, red=True, bold=True)


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium for all tests that need one, since Playwright refuses to run twice in a thread.

    Without it they skip loudly, under CI=true they fail.
    """
    from repdiss_core.scripts.bench.browser import FLAGS, chromium

    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    path = chromium()
    if sync_playwright is None or path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Results of one test are never seen by another; shipped results and built text are shared."""
    from repdiss_core.base.paths import cache_root

    shared = cache_root() / "local" / "data"
    root = tmp_path_factory.mktemp("cache")
    (root / "local").mkdir()
    shared.mkdir(parents=True, exist_ok=True)
    (root / "local" / "data").symlink_to(shared)
    monkeypatch.setenv("REPDISS_CACHE", str(root))
    return root


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A connection that leaves this machine fails the test."""
    connect = socket.socket.connect

    def guarded(self, address):
        host = address[0] if isinstance(address, tuple) else "localhost"
        assert str(host).startswith(LOOPBACK), f"a test tried to reach {host}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def seeded():
    """numpy and, where it is loaded, torch start from the same seed in every test."""
    import random
    import sys

    import numpy as np

    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(1)
