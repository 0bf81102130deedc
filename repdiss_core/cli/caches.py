"""`cache info|verify|export|import|prune`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from repdiss_core.base.errors import MOST_CHARACTERS, UserError
from repdiss_core.cli.compute import check_out, cka_options, seed_options, setting_options, stitch_option
from repdiss_core.cli.generalization import population_options
from repdiss_core.cli.scaling import family_options

if TYPE_CHECKING:
    from repdiss_core.store.cache import ResultStore


@click.group()
def cache() -> None:
    """Look at, check and prune what is stored."""


@cache.command()
def info() -> None:
    """Where the cache is, what it holds and how large it is."""
    from repdiss_core.runs.pruning import sizes
    from repdiss_core.store.cache import ResultStore

    store = ResultStore.open()
    click.echo(f"folder     {store.directory}")
    click.echo(
        f"results    {len(store.keys('local'))} computed here, {len(store.keys('shipped'))} shipped, "
        f"{len(store.keys('imported'))} imported"
    )
    for name, size in sizes().items():
        click.echo(f"{name:<10} {size / 2**20:,.1f} MiB")


@cache.command()
def verify() -> None:
    """Check every stored result against its checksum; damaged local ones are removed."""
    from repdiss_core.store.cache import ResultStore

    right, problems = ResultStore.open().verify()
    for sentence in problems:
        click.echo(sentence)
    click.echo(f"{right} results are right, {len(problems)} are damaged.")
    if problems:
        raise click.exceptions.Exit(1)


@cache.command("export")
@click.argument("results", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="FILE.safetensors")
@setting_options
@stitch_option
@seed_options
@population_options
@family_options
@cka_options
def export(results: tuple[str, ...], out: Path, **choices: Any) -> None:
    """Write RESULT… (figures such as fig3 at the same options as `run`, keys, or `all` computed here) to one file for
    another machine."""
    from repdiss_core.cli.compute import requests_of
    from repdiss_core.runs.bundle import export_bundle
    from repdiss_core.store.cache import ResultStore

    check_out(out, (".safetensors",))
    store = ResultStore.open()
    figures = tuple(r for r in results if r != "all" and len(r) < 12)
    keys = [c.key for build in requests_of(figures, choices) for c in build().comparisons] if figures else []
    keys += store.keys("local") if "all" in results else []
    keys += [_whole_key(store, r) for r in results if len(r) >= 12]
    click.echo(f"Wrote {export_bundle(store, keys, out)} results to {out} ({out.stat().st_size / 2**20:,.1f} MiB).")


def _whole_key(store: ResultStore, part: str) -> str:
    found = [key for key in store.keys("local") if key.startswith(part)]
    if len(found) != 1:
        raise UserError(
            f"{len(found)} results computed here begin with {part!r}; give more of the key, or name a figure."
        )
    return found[0]


@cache.command("import")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def import_(path: Path) -> None:
    """Check a bundle from another machine and show its results here."""
    from repdiss_core.base.paths import readonly
    from repdiss_core.runs.bundle import import_bundle
    from repdiss_core.store.cache import ResultStore

    if readonly():
        raise UserError("REPDISS_READONLY=1 forbids importing. Unset it to import.")
    if not os.path.isfile(path):
        raise UserError(f"There is no file {str(path)[:MOST_CHARACTERS]}. Name one that `cache export` wrote.")
    done = import_bundle(ResultStore.open(), path)
    for note in done.notes:
        click.echo(note)
    click.echo(f"{done.n_results} results from {path.name} are here now.")


@cache.command()
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Remove the results computed here too, not activations and ended jobs alone.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(everything: bool, yes: bool) -> None:
    """Free disk space; shipped results are never touched."""
    from repdiss_core.base.paths import readonly
    from repdiss_core.runs.pruning import prune as free

    if readonly():
        raise UserError("REPDISS_READONLY=1 forbids pruning. Unset it to prune.")
    what = "activations, ended jobs and all results computed here" if everything else "activations and ended jobs"
    if not yes and not click.confirm(f"Remove {what}?"):
        raise click.Abort
    click.echo(f"Freed {free(everything) / 2**20:,.1f} MiB.")
