"""Which engine computes: this process, or a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable

from repdiss_core.base.errors import UserError
from repdiss_core.engine.host import use_all_cores
from repdiss_core.engine.ray_cluster import RaySetting
from repdiss_core.engine.run import Engine
from repdiss_core.store.cache import ResultStore

ENGINES = ("local", "ray")


def make_engine(
    store: ResultStore, report: Callable[[str], None], name: str = "", setting: RaySetting | None = None
) -> Engine:
    """The engine of that name, or the one that `REPDISS_ENGINE` names: "local" (default) or "ray"."""
    name = name or os.environ.get("REPDISS_ENGINE") or "local"
    if name not in ENGINES:
        raise UserError(f"There is no engine {name!r}; REPDISS_ENGINE and --engine are {' or '.join(ENGINES)}.")
    if name == "ray":
        from repdiss_core.engine.ray_engine import RayEngine

        return RayEngine(store, setting or RaySetting.from_environment(), report)
    use_all_cores()
    return Engine(store, report=report)
