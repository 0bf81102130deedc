"""Which of a source's documents are for measuring ("eval") and which for training stitching layers ("phi").

Sets of documents are dealt one by one: those of odd number are "eval". Docstrings go by their file. A plain text is one
long text: its first 80 % are "eval" and the rest is "phi", in runs of whole paragraphs, so that a model reads on where
the text goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from repdiss_core.data import docstring_text, text_sources
from repdiss_core.data.text_sources import TextSource

SPLITS = ("eval", "phi")
RULE = 2  # raised whenever the same text would give other tokens
PLAIN_RULE = 3  # the same, of plain text files
EVAL_PERCENT = 80  # of a plain text's characters
RUN_CHARACTERS = 2**14  # a document of a plain text: whole paragraphs until they reach that many


def rule_of(source: TextSource) -> int:
    """The number of the rule by which a source is split, for its tokens' identity."""
    return PLAIN_RULE if source.is_plain else RULE


def documents_of(source: TextSource, split: str) -> Iterator[str]:
    """The documents of a split, in their order; of a plain text runs of paragraphs with a blank line between."""
    return runs(paragraphs_of(source, split)) if source.is_plain else _dealt(source, split)


def texts_of(source: TextSource, split: str) -> Iterator[str]:
    """The texts of a split that stand for themselves: documents, or paragraphs of a plain text and of docstrings."""
    if source.is_plain:
        return paragraphs_of(source, split)
    if source.installed:
        return (paragraph for document in _dealt(source, split) for paragraph in document.split("\n\n"))
    return _dealt(source, split)


def _dealt(source: TextSource, split: str) -> Iterator[str]:
    """Every second document; docstrings are split by file, as their tokens are."""
    if source.installed:
        return docstring_text.documents(docstring_text.installed_sources(), split)
    return itertools.islice(text_sources.documents(source), 1 - SPLITS.index(split), None, 2)


def paragraphs_of(source: TextSource, split: str) -> Iterator[str]:
    """The paragraphs of a plain text that begin within the first 80 % of its characters ("eval"), or those after."""
    last = sum(map(len, text_sources.documents(source))) * EVAL_PERCENT // 100
    begins = 0
    for paragraph in text_sources.documents(source):
        if (begins <= last) == (split == "eval"):
            yield paragraph
        begins += len(paragraph)


def runs(paragraphs: Iterable[str]) -> Iterator[str]:
    """Paragraphs joined by blank lines, in runs of at least `RUN_CHARACTERS`; the last one may be shorter."""
    run: list[str] = []
    size = 0
    for paragraph in paragraphs:
        run.append(paragraph)
        size += len(paragraph)
        if size >= RUN_CHARACTERS:
            yield "\n\n".join(run)
            run, size = [], 0
    if run:
        yield "\n\n".join(run)
