"""The data sets: what there is, cheaply; `open_stream` for the tokens themselves. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from repdiss_core.base.comparison import DataId
from repdiss_core.base.errors import UserError, check_length, unknown_name
from repdiss_core.data.batches import PackedStream, TokenBatch, TokenStream
from repdiss_core.data.text_sources import TextSource
from repdiss_core.hub import Repo

if TYPE_CHECKING:
    from repdiss_core.data.row_streams import RowStream

__all__ = [
    "DATASETS",
    "DatasetSpec",
    "PackedStream",
    "TokenBatch",
    "TokenStream",
    "bound",
    "content_id",
    "dataset_spec",
    "open_stream",
    "text_is_here",
    "versions_differ",
]


@dataclass(frozen=True)
class DatasetSpec:
    """What is known of a data set without reading it.

    Args:
        source: "bundled", or where it comes from.
        label: one line for people.
        splits: what `open_stream` takes; measures use eval, stitching layers are trained on phi.
        n_tokens: (split, tokens) with the pinned versions.
        packages: (package, version) whose text is read.
        module: returns the module with `tokens`, `content_id` and `versions_differ`, for a set that brings tokens of
            the bundled tokenizer; None for text of the hub.
        text: where the documents come from, for text that is cut by the tokenizer of the models that read it. Such a
            set is opened under a name that says which: "pile-10k by EleutherAI/pythia-70m-deduped", or what its rows
            are: "pile-10k by words" (`row_streams`).
    """

    name: str
    source: str
    label: str
    splits: tuple[str, ...]
    n_tokens: tuple[tuple[str, int], ...]
    packages: tuple[tuple[str, str], ...]
    module: Callable[[], ModuleType] | None
    text: TextSource | None = None


def _docstrings_module() -> ModuleType:
    from repdiss_core.data import docstrings

    return docstrings


def _docstrings() -> DatasetSpec:
    from repdiss_core import bundled

    known = bundled.facts()["data"]["docstrings"]
    return DatasetSpec(
        name="docstrings",
        source="bundled",
        label="docstrings of the installed packages, read on this machine; byte-level BPE of 2048 tokens",
        splits=("eval", "phi", "train"),
        n_tokens=tuple((split, known["splits"][split]["tokens"]) for split in ("eval", "phi", "train")),
        packages=tuple(sorted(known["packages"].items())),
        module=_docstrings_module,
        text=TextSource(None, installed=True),
    )


def _text(name: str, source: TextSource, label: str) -> DatasetSpec:
    return DatasetSpec(name, "hub" if source.repo else "local", label, ("eval", "phi"), (), (), None, source)


_PILE_10K = TextSource(Repo("NeelNanda/pile-10k", kind="dataset"))
_PILE_VAL = TextSource(Repo("mit-han-lab/pile-val-backup", kind="dataset"))
DATASETS: dict[str, DatasetSpec] = {
    "docstrings": _docstrings(),
    "pile-10k": _text(
        "pile-10k", _PILE_10K, "the first 10 000 documents of the Pile's training set (not its validation set)"
    ),
    "pile-val": _text("pile-val", _PILE_VAL, "the validation set of the Pile, which the paper used"),
}
TYPED = ("hub:", "path:")  # "hub:org/name:column", "path:file"
BY = " by "
SPECIAL_IN = " with special tokens"  # behind a bound name: an encoder's [CLS] and [SEP] become rows of the features
# Labelled pairs for classifiers alone: no data for a language model, so that no picker of language models offers it.
NLI, ENTAILMENT = "nli", "mnli-hans"


def bound(name: str, tokenizer_source: str) -> str:
    """The name under which a set is opened for models of a tokenizer; a set that brings tokens of the bundled one keeps
    its own for it.

    Args:
        tokenizer_source: a model's `tokenizer_repo`; "" for the bundled models.
    """
    if dataset_spec(name).module is not None and not tokenizer_source:
        return name
    return f"{name}{BY}{tokenizer_source or 'bundled'}"


def by_rows(name: str, unit: str) -> str:
    """The name under which a set is opened whose rows are words or texts, for models of any tokenizers.

    Args:
        unit: one of `row_streams.UNITS`.
    """
    return f"{name}{BY}{unit}"


def holds_texts(name: str) -> bool:
    """Whether a set is opened as texts, whose rows are words or texts, by that name."""
    from repdiss_core.data import row_streams

    return name.rpartition(BY)[2] in row_streams.UNITS


def dataset_spec(name: str) -> DatasetSpec:
    """The data set of that name, with or without " by …"; or a `UserError` with the nearest ones."""
    name = name.rpartition(BY)[0] or name
    check_length("data set", name)
    if name.startswith(TYPED):
        from repdiss_core.data import text_sources

        return _text(name, text_sources.of_name(name), "text of your own choice")
    if name not in DATASETS:
        raise unknown_name("data set", name, list(DATASETS), "python -m repdiss_core list data")
    return DATASETS[name]


def content_id(name: str, split: str) -> str:
    """The content hash of a split's tokens, 64 hexadecimal digits; cheap where the pinned packages are installed."""
    if name == NLI:
        from repdiss_core.data import nli

        return nli.content_id(split)
    if name == ENTAILMENT:
        from repdiss_core.data import entailment

        return entailment.content_id(split)
    spec = _checked(name, split)
    if not _reads_text(name, spec):
        assert spec.module is not None
        return spec.module().content_id(split)
    from repdiss_core.data import packed_text, row_streams

    assert spec.text is not None
    source, special = _tokenizer_of(name)
    if source in row_streams.UNITS:
        return row_streams.content_id(spec.text, source, split) or packed_text.UNPINNED
    return packed_text.content_id(spec.text, source, split, special)


def versions_differ(name: str) -> tuple[str, ...]:
    """A sentence for each package whose version is not the pinned one: tokens, and results on them, then differ."""
    module = dataset_spec(name).module
    return () if module is None else module().versions_differ()


def prepare(name: str) -> None:
    """Ask the hub for what a set under a bound name stands for, and fetch its tokenizer:
    its content id is then known."""
    if name == ENTAILMENT:
        from repdiss_core.data import entailment

        entailment.prepare()
    spec = None if name in (NLI, ENTAILMENT) else dataset_spec(name)
    if spec is not None and spec.text is not None and _reads_text(name, spec):
        from repdiss_core.data import row_streams, text_sources, tokenizer

        text_sources.prepare(spec.text)
        source, _ = _tokenizer_of(name)
        if source not in row_streams.UNITS:
            tokenizer.prepare(source)


def text_is_here(name: str) -> bool:
    """Whether the text of a set is on this machine; its files are fetched one after the other,
    so that the first one counts."""
    if name in (NLI, ENTAILMENT):
        from repdiss_core.data import entailment

        return name == NLI or entailment.is_here()
    text = dataset_spec(name).text
    if text is None or text.repo is None:
        return True
    from repdiss_core.data import text_sources

    return text_sources.is_here(text.repo)


def open_stream(
    name: str, split: str, sequences_per_batch: int = 8, tokens_per_sequence: int = 128, seed: int = 0
) -> TokenStream | RowStream:
    """Batches of a split in the order of a seed; the tokens are built first where they are not cached (seconds).

    Raises:
        UserError: unknown data set or split, or fewer tokens than one batch.
    """
    if name == NLI:
        from repdiss_core.data import nli

        return nli.open_nli(split, sequences_per_batch, tokens_per_sequence, seed)
    if name == ENTAILMENT:
        from repdiss_core.data import entailment

        return entailment.open_entailment(split, sequences_per_batch, tokens_per_sequence, seed)
    spec = _checked(name, split)
    prepare(name)
    if not _reads_text(name, spec):
        assert spec.module is not None
        row = spec.module().tokens(split)  # before its content id, which is that of the tokens built
        wanted = DataId(name, split, content_id(name, split), sequences_per_batch, tokens_per_sequence, seed)
        return PackedStream(row, wanted)
    from repdiss_core.data import packed_text, row_streams

    assert spec.text is not None
    wanted = DataId(name, split, content_id(name, split), sequences_per_batch, tokens_per_sequence, seed)
    source, special = _tokenizer_of(name)
    if source in row_streams.UNITS:
        return row_streams.open_rows(spec.text, source, wanted)
    return packed_text.open_text(spec.text, source, wanted, special)


def _reads_text(name: str, spec: DatasetSpec) -> bool:
    """Whether a set is opened as text, and not as the tokens that it brings."""
    return spec.text is not None and (spec.module is None or BY in name)


def _checked(name: str, split: str) -> DatasetSpec:
    from repdiss_core.data import text_splits

    spec = dataset_spec(name)
    if split not in spec.splits or (_reads_text(name, spec) and split not in text_splits.SPLITS):
        raise unknown_name(f"split of {name}", split, spec.splits, "python -m repdiss_core list data")
    return spec


def _tokenizer_of(name: str) -> tuple[str, str]:
    """(source of the tokenizer, "in" or "out" for an encoder's special tokens) that a bound name says."""
    _, by, source = name.rpartition(BY)
    if not by:
        raise UserError(
            f"{source} is cut by the tokenizer of the models that read it; write which, "
            f"as in {bound(source, 'org/name')!r}."
        )
    return source.removesuffix(SPECIAL_IN), "in" if source.endswith(SPECIAL_IN) else "out"
