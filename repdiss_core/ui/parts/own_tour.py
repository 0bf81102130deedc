"""A tour of one's own: views that were kept, with a sentence each.

It lives in the browser's session and in a link; the server stores nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import streamlit as st

from repdiss_core.base.errors import UserError

STATE = "my tour"
MOST_STOPS, MOST_CHARACTERS, MOST_BYTES = 40, 400, 40_000
BAD_LINK = (
    "The link’s tour could not be read: it is cut off or was changed. Ask for it again, "
    "or start one with “Add to my tour” on any page of figures."
)


@dataclass(frozen=True)
class Stop:
    """A view that was kept.

    Args:
        query: the page's choices.
        card: the figure that is meant; "" for all of the page.
        note: a sentence that a person typed.
    """

    path: str
    query: tuple[tuple[str, str], ...]
    card: str = ""
    note: str = ""


def stops() -> list[Stop]:
    """The present tour."""
    return st.session_state.setdefault(STATE, [])


def add_stop(path: str, query: Mapping[str, str], card: str = "") -> None:
    """Append a view, unless the tour is full or ends with this very view."""
    stop = Stop(path, tuple(sorted(query.items())), card)
    kept = stops()
    if len(kept) < MOST_STOPS and not (kept and replace(kept[-1], note="") == stop):
        kept.append(stop)


def move(at: int, by: int) -> None:
    """Let two neighbours change places."""
    kept = stops()
    if 0 <= at + by < len(kept):
        kept[at], kept[at + by] = kept[at + by], kept[at]


def remove(at: int) -> None:
    """Leave out a view."""
    if at < len(stops()):
        stops().pop(at)


def write_note(at: int, note: str) -> None:
    """Put a sentence to a view."""
    stops()[at] = replace(stops()[at], note=note[:MOST_CHARACTERS])


def packed(tour: list[Stop]) -> str:
    """The tour as a word for an address."""
    text = json.dumps([asdict(stop) for stop in tour], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def unpacked(word: str, pages: Mapping[str, str]) -> list[Stop]:
    """The tour of an address; nothing in it is trusted.

    Args:
        pages: paths that a stop may name.

    Raises:
        UserError: for a word that is no tour of these pages.
    """
    try:
        raw = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
        inflate = zlib.decompressobj()
        text = inflate.decompress(raw, MOST_BYTES)
        if inflate.unconsumed_tail:
            raise ValueError("too long")
        found = [_stop(told, pages) for told in json.loads(text)]
    except (binascii.Error, zlib.error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(BAD_LINK) from error
    return found[:MOST_STOPS]


def _stop(told: Any, pages: Mapping[str, str]) -> Stop:
    if told["path"] not in pages:
        raise ValueError("unknown page")
    query = tuple((_text(name, 40), _text(value, 200)) for name, value in told["query"])
    return Stop(told["path"], query, _text(told["card"], 40), _text(told["note"], MOST_CHARACTERS))


def _text(given: Any, most: int) -> str:
    """Its first characters; half of a surrogate pair, which no file and no address can hold,
    becomes a question mark."""
    return str(given)[:most].encode("utf-8", "replace").decode()
