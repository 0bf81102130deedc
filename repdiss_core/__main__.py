"""`python -m repdiss_core`: list | fetch | run | compare | figure | cache | bench."""

from __future__ import annotations

import os
import sys

import click

from repdiss_core.base.errors import UserError, one_line
from repdiss_core.base.paths import redacted
from repdiss_core.cli import caches, compute, fetch, figures, listing
from repdiss_core.scripts.bench import commands

# Threads that wait by spinning starve each other where two workers share the cores.
# Read when torch's OpenMP library loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

MOST_SAID = 900  # characters of a sentence


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name=None, version=__import__("repdiss_core").__version__, prog_name="repdiss")
def cli() -> None:
    """See, measure and present how the internal representations of language models differ."""


cli.add_command(listing.list_command)
cli.add_command(fetch.fetch)
cli.add_command(compute.run)
cli.add_command(compute.compare)
cli.add_command(figures.figure)
cli.add_command(caches.cache)
cli.add_command(commands.bench)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a `UserError` becomes one sentence and exit status 2, an unexpected fault one and status 3.

    `REPDISS_TRACEBACK=1` shows where an unexpected fault arose.
    """
    try:
        for word in arguments or ():
            _check(word)
        cli.main(args=arguments, prog_name="python -m repdiss_core", standalone_mode=False)
        return 0
    except UserError as error:
        _say(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.ClickException as error:
        _say(error.format_message())
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("repdiss: stopped; what was finished is kept. Run the same command again to go on.", err=True)
        return 130
    except Exception as error:
        if os.environ.get("REPDISS_TRACEBACK", "") not in ("", "0"):
            raise
        hint = "Check the folders that you named" if isinstance(error, OSError) else "Please report it"
        _say(
            redacted(
                f"an unexpected fault ({one_line(error)}). What was finished is kept. {hint}; "
                "REPDISS_TRACEBACK=1 shows where it arose."
            )
        )
        return 3
    return 2


def _check(word: str) -> None:
    """Refuse what no name of a file or model has, and the system's calls end on."""
    try:
        held = "a null character" if b"\0" in os.fsencode(word) else ""
    except UnicodeEncodeError:
        held = "half of a character"
    if held:
        raise UserError(f"an argument holds {held}, which no name of a file or model has. Leave it out.")


def _say(sentence: str) -> None:
    """One line on standard error, also of text that the terminal cannot show; a huge argument is not repeated in it."""
    if len(sentence) > MOST_SAID:
        sentence = f"{sentence[: MOST_SAID - 100]} … {sentence[-98:]}"
    click.echo(f"repdiss: {sentence}".encode(errors="replace").decode(), err=True)


if __name__ == "__main__":
    sys.exit(main())
