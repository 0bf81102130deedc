"""The data sets: what there is, cheaply; `open_stream` for the tokens themselves. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from repdiss_core.comparison import DataId
from repdiss_core.data.batches import PackedStream, TokenBatch, TokenStream
from repdiss_core.errors import unknown_name

__all__ = [
    "DATASETS",
    "DatasetSpec",
    "PackedStream",
    "TokenBatch",
    "TokenStream",
    "content_id",
    "dataset_spec",
    "open_stream",
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
        module: returns the module with `tokens`, `content_id` and `versions_differ`.
    """

    name: str
    source: str
    label: str
    splits: tuple[str, ...]
    n_tokens: tuple[tuple[str, int], ...]
    packages: tuple[tuple[str, str], ...]
    module: Callable[[], ModuleType]


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
    )


DATASETS: dict[str, DatasetSpec] = {"docstrings": _docstrings()}
# Labelled pairs for the NLI classifiers alone: no data for a language model, so that no picker of language models offers it.
NLI = "nli"


def dataset_spec(name: str) -> DatasetSpec:
    """The data set of that name, or a `UserError` with the nearest ones."""
    if name not in DATASETS:
        raise unknown_name("data set", name, list(DATASETS), "python -m repdiss_core list data")
    return DATASETS[name]


def content_id(name: str, split: str) -> str:
    """The content hash of a split's tokens, 64 hexadecimal digits; cheap where the pinned packages are installed."""
    if name == NLI:
        from repdiss_core.data import nli

        return nli.content_id(split)
    return _checked(name, split).module().content_id(split)


def versions_differ(name: str) -> tuple[str, ...]:
    """A sentence for each package whose version is not the pinned one: tokens, and results on them, then differ."""
    return dataset_spec(name).module().versions_differ()


def open_stream(
    name: str, split: str, sequences_per_batch: int = 8, tokens_per_sequence: int = 128, seed: int = 0
) -> TokenStream:
    """Batches of a split in the order of a seed; the tokens are built first where they are not cached (seconds).

    Raises:
        UserError: unknown data set or split, or fewer tokens than one batch.
    """
    if name == NLI:
        from repdiss_core.data import nli

        return nli.open_nli(split, sequences_per_batch, tokens_per_sequence, seed)
    module = _checked(name, split).module()
    row = module.tokens(split)
    data_id = DataId(name, split, module.content_id(split), sequences_per_batch, tokens_per_sequence, seed)
    return PackedStream(row, data_id)


def _checked(name: str, split: str) -> DatasetSpec:
    spec = dataset_spec(name)
    if split not in spec.splits:
        raise unknown_name(f"split of {name}", split, spec.splits, "python -m repdiss_core list data")
    return spec
