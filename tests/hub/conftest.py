"""The loopback hub as fixtures: an empty one for each test, and one with tiny models and data for the session."""

from __future__ import annotations

import pytest
from hub_server import LoopbackHub


@pytest.fixture
def reach(monkeypatch, tmp_path):
    """Points this process, and its children, at a hub: reach(address)."""
    from huggingface_hub import constants

    from repdiss_core import hub as client

    def to(address: str) -> None:
        for name, value in {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
            "REPDISS_CACHE": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(client, "_last_preflight", {})

    return to


@pytest.fixture
def hub(reach):
    """An empty hub of the test's own."""
    found = LoopbackHub()
    server = found.start()
    reach(f"http://127.0.0.1:{server.server_port}")
    yield found
    found.hanging = False
    server.shutdown()
    server.server_close()
