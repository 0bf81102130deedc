"""Which Ray cluster shards run on: one that is there, or one of this command's own on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repdiss_core.base.errors import UserError, one_line
from repdiss_core.base.paths import REPOSITORY, number_setting

ANSWER_S = 5.0
SHIPPED_OUT = ["/cache", "/.git", "/.venv", "/docs", "/tests"]  # what machines of a cluster do not need


@dataclass(frozen=True)
class RaySetting:
    """Where shards run.

    Args:
        address: of a running cluster ("auto", "host:6379", "ray://host:10001"); None starts one on this machine.
        workers: shards at once on a cluster of one's own; None as many as fit its cores.
        threads: of each shard; fixed, since the number can change the last bits, and recorded in every result.
        gpus: that Ray sets aside for each shard.
    """

    address: str | None = None
    workers: int | None = None
    threads: int = 1
    gpus: float = 0.0

    @classmethod
    def from_environment(cls) -> RaySetting:
        """As `REPDISS_RAY_ADDRESS`, `REPDISS_RAY_WORKERS`, `REPDISS_RAY_THREADS` and `REPDISS_RAY_GPUS` say."""
        workers, threads = int(number_setting("REPDISS_RAY_WORKERS", 0)), int(number_setting("REPDISS_RAY_THREADS", 1))
        return cls(
            os.environ.get("REPDISS_RAY_ADDRESS") or None,
            workers or None,
            max(1, threads),
            number_setting("REPDISS_RAY_GPUS", 0),
        )


def connected(setting: RaySetting, report: Callable[[str], None] = lambda line: None) -> Any:
    """Ray, connected to its cluster; one on this machine alone where no address is given.

    Raises:
        UserError: Ray is not installed, no cluster answers, or this machine lacks the GPUs that a shard asks for.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if setting.address:
        _check_answers(setting.address)
        if _has_token():  # `ray start` asks for it where there is one, and Ray does not send it unasked
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise UserError(
            "The Ray engine needs Ray: `pip install -r requirements-cluster.txt`, or leave out --engine ray."
        ) from None
    if not ray.is_initialized():
        try:
            _join_cluster(ray, setting) if setting.address else _start_cluster(ray, setting)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"No Ray cluster could be reached at {setting.address or 'this machine'} ({one_line(error)}). "
                "Start one with `ray start --head`."
            ) from error
    _check_resources(ray.cluster_resources(), setting, report)
    return ray


def _check_answers(address: str) -> None:
    """Ray itself waits for many minutes for an address where nothing answers."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"{address[:60]!r} is no address of a Ray cluster. Write auto, HOST:6379 or ray://HOST:10001.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"No Ray cluster answers at {address} ({one_line(error)}). Start one with `ray start --head`, "
            "or correct the address."
        ) from error


def _has_token() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").exists()


def _join_cluster(ray: Any, setting: RaySetting) -> None:
    ray.init(
        address=setting.address,
        log_to_driver=False,
        runtime_env={"working_dir": str(REPOSITORY), "excludes": SHIPPED_OUT},
    )


def _start_cluster(ray: Any, setting: RaySetting) -> None:
    """A cluster that ends with this process.

    Its workers get their environment from here, not from a `runtime_env`: those start a second later.
    """
    with _environment(
        PYTHONPATH=os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
        OMP_WAIT_POLICY="PASSIVE",
    ):
        ray.init(
            address="local",  # never one that another command has left running
            num_cpus=setting.threads * setting.workers
            if setting.workers
            else max(setting.threads, os.cpu_count() or 1),
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check_resources(there: dict[str, float], setting: RaySetting, report: Callable[[str], None]) -> None:
    """Ray waits for ever for what a cluster lacks, since machines may join it."""
    for kind, wanted in (("CPU", setting.threads), ("GPU", setting.gpus)):
        if wanted <= there.get(kind, 0):
            continue
        lacking = (
            f"A shard asks for {wanted:g} {kind}s and {setting.address or 'this machine'} has {there.get(kind, 0):g}"
        )
        if not setting.address:
            raise UserError(f"{lacking}. Ask for fewer with --gpus or REPDISS_RAY_GPUS.")
        report(f"{lacking} in all; shards wait for a machine that has them.")
