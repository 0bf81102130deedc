"""Whether a handful of massive tokens decides a map, in a sentence: how many, which ones, and in which layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import BatchHsic, BatchValues
from repdiss_core.data.token_text import token_texts
from repdiss_core.measures import spec_of
from repdiss_core.measures.massive import DECIDES, MULTIPLE
from repdiss_core.measures.spec import first_layer
from repdiss_core.models import model_spec
from repdiss_core.studies import options
from repdiss_core.studies.rows import unit_of

TERMS = {"hsic": "these layers’ HSIC with themselves", "squares": "these layers’ sum of squares"}
NAMED = 3  # tokens that the sentence names


def deciding_rows(batches: BatchHsic | BatchValues, comparison: Comparison, names: tuple[str, str]) -> str:
    """A sentence for each model of which massive tokens carry more than `DECIDES` of some layer's self term, and how to
    see the map without them; "" where there is none.

    Args:
        batches: rows of the first model, columns of the second, so far as the map shows them.
        names: of the models.
    """
    sides = dict(zip(names, "fg", strict=True)) if names[0] != names[1] else {names[0]: "f"}
    said = [sentence for name, side in sides.items() if (sentence := _of_side(batches, comparison, name, side))]
    if not said:
        return ""
    way_out = f"Choose “{options.MASSIVE.label_of('dropped')}” (--massive dropped) for the map without them."
    return " ".join([*said, way_out])


def _of_side(batches: BatchHsic | BatchValues, comparison: Comparison, name: str, side: str) -> str:
    share, term = getattr(batches, "massive", {}).get(f"share_{side}"), spec_of(comparison).self_term
    if share is None or not term:
        return ""
    carried = share.mean(axis=0)
    layers = np.flatnonzero(carried > DECIDES)
    if not len(layers):
        return ""
    count = batches.massive[f"count_{side}"][:, layers].max(axis=1).mean()
    ids, places = (batches.massive[f"{kind}_{side}"].ravel() for kind in ("tokens", "rows"))
    there, where = places >= 0, layer_words(layers + first_layer(comparison))
    return (
        f"Massive tokens decide {where} of {name}: {_number(count)} of {batches.n_tokens.mean():.0f} "
        f"{unit_of(comparison.data)} per batch, longer than {MULTIPLE:g} times the median, "
        f"{'carry' if count > 1 else 'carries'} {_percent(carried[layers])} of {TERMS[term]} "
        f"({_named(name, ids[there], places[there] % comparison.data.tokens_per_sequence + 1)})."
    )


def layer_words(layers: Iterable[int]) -> str:
    """Layers in words, such as "layer 2" or "layers 1, 4 to 28"."""
    runs: list[list[int]] = []
    for layer in map(int, layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], layer]
        else:
            runs.append([layer])
    words = [f"{run[0]} to {run[1]}" if len(run) == 2 else str(run[0]) for run in runs]
    return f"layer{'' if words == [str(runs[0][0])] else 's'} {', '.join(words)}"


def _named(name: str, ids: np.ndarray, positions: np.ndarray) -> str:
    """The most frequent tokens with their positions in their sequences, counted from 1."""
    counts = Counter(zip(ids.tolist(), positions.tolist(), strict=True))
    if len(counts) > NAMED and len(set(positions.tolist())) == 1:
        return f"whichever token stands at position {positions[0]} of its sequence"
    most = [pair for pair, _ in counts.most_common(NAMED)]
    texts = _texts(name, [token for token, _ in most])
    words = [f"{text} at position {position}" for text, (_, position) in zip(texts, most, strict=True)]
    return ", ".join(words) + (f", {len(counts) - NAMED} others" if len(counts) > NAMED else "")


def _texts(name: str, ids: list[int]) -> list[str]:
    """The text of each token in quotation marks; its number where there is no tokenizer here."""
    try:
        texts = token_texts(model_spec(name).tokenizer_repo, ids)
    except UserError:
        return [f"token {token}" for token in ids]
    return [f"“{text}”".replace("\n", "⏎") for text in texts]


def _number(count: float) -> str:
    return f"{count:.0f}" if abs(count - round(count)) < 0.05 else f"{count:.1f}"


def _percent(shares: np.ndarray) -> str:
    low, high = int(100 * shares.min()), int(100 * shares.max())
    return f"{low} %" if low == high else f"{low} to {high} %"
