"""`run FIGURE…` and `compare MODEL_F MODEL_G`: compute in this process; `run --job` is a page's worker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from repdiss_core.cli.generalization import is_population_figure, population_options, population_request, take_params
from repdiss_core.cli.progress import TerminalProgress, stop_on_signal
from repdiss_core.comparison import Request
from repdiss_core.errors import UserError

ESTIMATORS = ("unbiased", "biased", "sequence_aware")
REDUCTIONS = ("mean_of_ratios", "ratio_of_means")
MEASURE_NAMES = ("cka", "stitching", "identity_stitching")


def cka_options(command: Any) -> Any:
    """--estimator, --reduction, --flatten, --resid-mean, --batches."""
    for option in reversed((
        click.option("--estimator", type=click.Choice(ESTIMATORS), default="unbiased", show_default=True),
        click.option("--reduction", type=click.Choice(REDUCTIONS), default="mean_of_ratios", show_default=True),
        click.option("--flatten", type=click.Choice(("token", "sample")), default="token", show_default=True),
        click.option("--resid-mean", type=click.Choice(("removed", "kept")), default="removed", show_default=True),
        click.option("--batches", type=click.IntRange(min=1), default=None, help="Batches of a CKA map; evaluation batches of a stitch."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.argument("figures", nargs=-1)
@click.option("--job", "job_id", default=None, hidden=True, help="Be the worker of a page's job.")
@click.option("--preset", "preset_name", default="bundled", show_default=True, help="bundled, quick or tiny.")
@click.option("--stitch", default=None, help="Stitching preset: quick, reference, reference-lr0.1 or tiny (default: the preset's).")
@click.option("--seed-gelu", type=int, default=0, show_default=True)
@click.option("--seed-solu", type=int, default=0, show_default=True)
@click.option("--engine", type=click.Choice(("local", "ray")), default="local", show_default=True, help="ray: see requirements-cluster.txt.")
@click.option("--address", default=None, help="Ray: a running cluster, such as auto or ray://HOST:10001; default one on this machine.")
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Ray on this machine: shards at once (default: all cores).")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Ray: threads of each shard.")
@click.option("--gpus", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Ray: GPUs set aside for each shard.")
@population_options
@cka_options
def run(
    figures: tuple[str, ...], job_id: str | None, engine: str, address: str | None, workers: int | None, threads: int, gpus: float, **choices: Any
) -> None:
    """Compute FIGURE… (fig1, fig4, …) into the cache; what is there already is not computed again."""
    if job_id is not None:
        from repdiss_core.cli.worker import work

        sys.exit(work(job_id))
    if not figures:
        raise UserError("Name at least one figure, such as `run fig4`. `python -m repdiss_core list figures` shows them all.")
    population = take_params(choices)
    ours = tuple(f for f in figures if is_population_figure(f))
    others = tuple(f for f in figures if f not in ours)
    from repdiss_core.engine.ray_engine import RaySetting

    where = engine, RaySetting(address, workers, threads, gpus)
    if ours:
        compute(population_request(ours, population), *where)
    if others:
        compute(figures_request(others, asymmetry_params(**choices)), *where)
    click.echo(f"{', '.join(figures)}: computed. Write it with `python -m repdiss_core figure {figures[0]} --out {figures[0]}.html`.")


@click.command()
@click.argument("model_f")
@click.argument("model_g")
@click.option("--measure", type=click.Choice(MEASURE_NAMES), default="cka", show_default=True)
@click.option("--data", default="docstrings", show_default=True, help="NAME or NAME/SPLIT.")
@click.option("--tokens-per-batch", type=click.IntRange(min=4), default=1024, show_default=True)
@click.option("--tokens-per-sequence", type=click.IntRange(min=2), default=128, show_default=True)
@click.option("--layers", default=None, help="Stitching: pairs such as 1:1,2:3 (layer of f : layer of g); default the same layer of both.")
@click.option("--stitch", default="quick", show_default=True, help="Stitching preset: quick, reference, reference-lr0.1 or tiny.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=None, help="FILE.json or FILE.csv; default JSON to standard output.")
@cka_options
def compare(model_f: str, model_g: str, **choices: Any) -> None:
    """Compare MODEL_F (rows, bottom) with MODEL_G (columns, top) and write values, standard errors and provenance."""
    from repdiss_core import exports
    from repdiss_core.cache import ResultStore
    from repdiss_core.cli.pairs import choose

    check_out(choices["out"], (".json", ".csv"))
    pair = choose(model_f, model_g, **{k: v for k, v in choices.items() if k != "out"})
    compute(pair.request)
    forms = pair.forms(ResultStore.open())
    out: Path | None = choices["out"]
    text = exports.to_csv(forms) if out is not None and out.suffix == ".csv" else exports.to_json(forms[0] if len(forms) == 1 else forms)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {out}.", err=True)


def asymmetry_params(
    preset_name: str, stitch: str | None, seed_gelu: int, seed_solu: int, estimator: str, reduction: str, flatten: str,
    resid_mean: str, batches: int | None,
) -> Any:  # fmt: skip
    """The study's parameters from command-line choices."""
    from repdiss_core.presets import preset, stitch_preset
    from repdiss_core.studies.asymmetry import Params
    from repdiss_core.studies.common import CkaView

    chosen = preset(preset_name)
    view = CkaView(estimator, flatten, resid_mean, reduction, batches or chosen.cka_batches)
    name = stitch or chosen.stitch
    stitch_preset(name)
    return Params(seed_gelu=seed_gelu, seed_solu=seed_solu, stitch=name, cka=view, preset=chosen)


def figures_request(figures: tuple[str, ...], params: Any) -> Request:
    """One request for several figures."""
    from repdiss_core.panels import request_for
    from repdiss_core.paper import figure_parts

    parts = [part for figure_id in figures for part in figure_parts(figure_id, params)]
    return request_for((c for part in parts for c in part.comparisons), params.cka.n_batches)


def compute(request: Request, engine_name: str = "local", setting: Any = None) -> None:
    """Run a request from this process, with a bar on a terminal and plain lines otherwise."""
    from repdiss_core.cache import ResultStore
    from repdiss_core.engine.feature_pass import Stopped
    from repdiss_core.engine.ray_engine import make_engine

    engine = make_engine(ResultStore.open(), lambda line: click.echo(line, err=True), engine_name, setting)
    stop = stop_on_signal()
    reporter = TerminalProgress()
    try:
        engine.run(request, reporter, stop.is_set)
    except Stopped:
        raise KeyboardInterrupt from None
    finally:
        reporter.close()


def check_out(out: Path | None, endings: tuple[str, ...]) -> None:
    """Raise a `UserError` where `out` cannot be written in one of these formats."""
    if out is not None and out.suffix not in endings:
        raise UserError(f"--out {out.name} ends in {out.suffix or 'nothing'!r}; this command writes {' or '.join(endings)}.")
    if out is not None and not out.parent.exists():
        raise UserError(f"--out: the folder {out.parent} does not exist. Make it first, or name another.")
