"""`bench cka|engine|measures|localization|family|scale|app|load|ray`:
every claim of speed, measured again on the machine at hand."""

from __future__ import annotations

import sys

import click


@click.group()
def bench() -> None:
    """Measure speed and accuracy, side by side in one run."""


_JSON = click.option(
    "--json", "json_path", type=click.Path(dir_okay=False), default=None, help="Write the figures to this file too."
)


@bench.command()
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@_JSON
def cka(threads: int, rounds: int, json_path: str | None) -> None:
    """CKA of all layer pairs against pytorch_cka and torch_cka: time, memory, error (needs requirements-dev.txt)."""
    from repdiss_core.scripts.bench.cka import run

    sys.exit(run(threads, rounds, json_path))


@bench.command()
@click.option("--batches", type=click.IntRange(min=1), default=3, show_default=True)
@_JSON
def engine(batches: int, json_path: str | None) -> None:
    """Wall time of CKA over that of the forward passes, at pythia-160m's and 70m's shapes with random weights."""
    from repdiss_core.scripts.bench.engine import run

    sys.exit(run(batches, json_path))


@bench.command()
@click.option("--batches", type=click.IntRange(min=1), default=3, show_default=True)
@_JSON
def measures(batches: int, json_path: str | None) -> None:
    """Time of each measure over that of the forward passes; plain torch and rsatoolbox (where installed) beside it."""
    from repdiss_core.scripts.bench.measures import run

    sys.exit(run(batches, json_path))


@bench.command()
@_JSON
def localization(json_path: str | None) -> None:
    """CKA of all pairs of the bundled classifiers, and identity stitching between the groups, from an empty cache."""
    from repdiss_core.scripts.bench.localization import run

    sys.exit(run(json_path))


@bench.command()
@_JSON
def family(json_path: str | None) -> None:
    """CKA of the whole bundled family from an empty cache, growth from 2 to 8 members, a redraw of 182 × 182 layers."""
    from repdiss_core.scripts.bench.family import run

    sys.exit(run(json_path))


@bench.command()
@click.option(
    "--models",
    default="pythia-70m,pythia-160m",
    show_default=True,
    help="Names of Pythia's sizes, with commas between.",
)
@click.option(
    "--random-init", is_flag=True, help="Random weights of the same shapes take the same time: nothing is downloaded."
)
@click.option("--batches", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--dtype",
    type=click.Choice(("float32", "bfloat16")),
    default=None,
    help="Default: bfloat16 on a GPU, float32 on the processor.",
)
@click.option("--device", default=None, help="Default: the first GPU, or the processor.")
@_JSON
def scale(
    models: str, random_init: bool, batches: int, dtype: str | None, device: str | None, json_path: str | None
) -> None:
    """CKA of all pairs at the paper's sizes: forward time, CKA time, share of the device's matrix-product rate,
    memory."""
    from repdiss_core.engine.device import devices
    from repdiss_core.engine.host import use_all_cores
    from repdiss_core.scripts.bench.scale import run

    use_all_cores()
    on_gpu = (device or devices()[0]).startswith("cuda")
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    sys.exit(run(names, batches, dtype or ("bfloat16" if on_gpu else "float32"), device, json_path, random_init))


@bench.command()
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True)
@_JSON
def app(rounds: int, json_path: str | None) -> None:
    """Time to the first page, page switch and redraw, in headless Chromium (needs requirements-dev.txt)."""
    from repdiss_core.scripts.bench.app import run

    sys.exit(run(rounds, json_path))


@bench.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=300, show_default=True)
@click.option(
    "--sessions", type=click.IntRange(min=0), default=18, show_default=True, help="Readers without a browser."
)
@click.option("--browsers", type=click.IntRange(min=0), default=2, show_default=True)
@_JSON
def load(seconds: float, sessions: int, browsers: int, json_path: str | None) -> None:
    """Many readers turn over cached figures: time of a redraw, errors, memory of the server."""
    from repdiss_core.scripts.bench.load import run

    sys.exit(run(seconds, sessions, browsers, json_path))


@bench.command()
@click.option("--batches", type=click.IntRange(min=1), default=350, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@_JSON
def ray(batches: int, rounds: int, json_path: str | None) -> None:
    """One process against Ray with one and two workers (needs requirements-cluster.txt)."""
    from repdiss_core.scripts.bench.ray import run

    sys.exit(run(batches, rounds, json_path))
