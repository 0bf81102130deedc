"""`cache info|verify|prune`."""

from __future__ import annotations

import click

from repdiss_core.errors import UserError


@click.group()
def cache() -> None:
    """Look at, check and prune what is stored."""


@cache.command()
def info() -> None:
    """Where the cache is, what it holds and how large it is."""
    from repdiss_core.cache import ResultStore
    from repdiss_core.pruning import sizes

    store = ResultStore.open()
    click.echo(f"folder     {store.directory}")
    click.echo(f"results    {len(store.keys('local'))} computed here, {len(store.keys('shipped'))} shipped")
    for name, size in sizes().items():
        click.echo(f"{name:<10} {size / 2**20:,.1f} MiB")


@cache.command()
def verify() -> None:
    """Check every stored result against its checksum; damaged local ones are removed."""
    from repdiss_core.cache import ResultStore

    right, problems = ResultStore.open().verify()
    for sentence in problems:
        click.echo(sentence)
    click.echo(f"{right} results are right, {len(problems)} are damaged.")
    if problems:
        raise click.exceptions.Exit(1)


@cache.command()
@click.option("--all", "everything", is_flag=True, help="Remove the results computed here too, not activations and ended jobs alone.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(everything: bool, yes: bool) -> None:
    """Free disk space; shipped results are never touched."""
    from repdiss_core.paths import readonly
    from repdiss_core.pruning import prune as free

    if readonly():
        raise UserError("REPDISS_READONLY=1 forbids pruning. Unset it to prune.")
    what = "activations, ended jobs and all results computed here" if everything else "activations and ended jobs"
    if not yes and not click.confirm(f"Remove {what}?"):
        raise click.Abort
    click.echo(f"Freed {free(everything) / 2**20:,.1f} MiB.")
