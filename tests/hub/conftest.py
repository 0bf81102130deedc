"""The loopback hub as fixtures: an empty one for each test, and one with tiny models and data for the session."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_repositories as tiny
from hub_server import LoopbackHub


def reach(patch: pytest.MonkeyPatch, address: str, folder: Path) -> None:
    """Point this process, and its children, at a hub, with caches of their own in a folder."""
    from huggingface_hub import constants

    from repdiss_core import hub as client

    places = {"HF_ENDPOINT": address, "HF_HOME": str(folder / "hf"), "REPDISS_CACHE": str(folder / "cache")}
    for name, value in {**places, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}.items():
        patch.setenv(name, value)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(client, "_last_preflight", {})


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty hub of the test's own."""
    found = LoopbackHub()
    server = found.start()
    reach(monkeypatch, f"http://127.0.0.1:{server.server_port}", tmp_path)
    yield found
    found.hanging = False
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def computed_bundle(tmp_path_factory) -> bytes:
    """Figure 4 of the paper's models, computed through a hub on one machine, as a file to be carried to another."""
    from repdiss_core.__main__ import main

    folder, found = tmp_path_factory.mktemp("cluster"), LoopbackHub()
    tiny.fill_models(found, ("70m",), ("gelu-3l", "solu-3l"))
    tiny.fill_texts(found)
    server = found.start()
    with pytest.MonkeyPatch.context() as patch:
        reach(patch, f"http://127.0.0.1:{server.server_port}", folder)
        assert main(["run", "fig4", "--models", "paper", "--preset", "tiny"]) == 0
        out = folder / "fig4.safetensors"
        assert main(["cache", "export", "fig4", "-o", str(out), "--models", "paper", "--preset", "tiny"]) == 0
    server.shutdown()
    server.server_close()
    return out.read_bytes()
