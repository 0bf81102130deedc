"""The one exception that speaks to users."""

MOST_CHARACTERS = 300  # of a name that a user types


class UserError(ValueError):
    """Bad input or a missing thing, told in a sentence: what was wrong, what was expected, what to do."""


def unknown_name(kind: str, name: str, known: list[str] | tuple[str, ...], listing: str) -> UserError:
    """A `UserError` for an unknown name, with the nearest known ones.

    Args:
        kind: what was asked for, in the singular ("model", "measure").
        name: what the user wrote.
        known: every name that would have been right.
        listing: the command that lists them, such as "python -m repdiss_core list models".
    """
    import difflib

    name = name[:MOST_CHARACTERS]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else f"Known: {', '.join(known[:8])}{' …' if len(known) > 8 else ''}."
    )
    return UserError(f"There is no {kind} named {name!r}. {hint} List all with `{listing}`.")


def check_length(kind: str, name: str) -> None:
    """Refuse a name that no model, data set or path has; it would fill the sentence that tells it.

    Raises:
        UserError: more than `MOST_CHARACTERS`.
    """
    if len(name) > MOST_CHARACTERS:
        raise UserError(
            f"The name of a {kind} has at most {MOST_CHARACTERS} characters; {name[:40]!r}… has {len(name)}. "
            "Shorten it."
        )


def one_line(error: BaseException) -> str:
    """An unexpected error in one line: its kind and what it says, without the paths that its arguments may hold."""
    says = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(f"{type(error).__name__}: {says}".split())[:300].rstrip(": ")
