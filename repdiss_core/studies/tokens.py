"""The tokens of one batch with how alike two layers place them: text, shades, and the most and the least alike.

Reads the cache, never computes.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import UserError
from repdiss_core.data.token_text import token_texts
from repdiss_core.models import model_spec
from repdiss_core.plots.html_table import html_table
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.cell import CellFacts, view_of
from repdiss_core.studies.common import token_comparison

SHADES = 8
IN_TEXT = "token in its text"
AROUND = 6  # tokens of context on each side
SPACE, NEW_LINE = '<i class="ws">·</i>', '<i class="ws">↵</i>'


@dataclass(frozen=True, eq=False)
class TokenTable:
    """The alignment of the tokens of one batch.

    Args:
        ids: (b, t) token ids.
        texts: b lists of t texts, None where no tokenizer is at hand; `untold` then says why.
        cosine, contribution: (b, t), see `repdiss_core.measures.token_alignment`.
    """

    ids: np.ndarray
    texts: list[list[str]] | None
    untold: str
    cosine: np.ndarray
    contribution: np.ndarray

    @property
    def hsic1(self) -> float:
        """HSIC₁ of the two layers on this batch: the sum of all contributions."""
        return float(np.nansum(self.contribution))

    @property
    def floor(self) -> float:
        """Where the scale of the shades begins: the lowest cosine, but for the lowest hundredth, down to a tenth."""
        finite = self.cosine[np.isfinite(self.cosine)]
        return float(np.floor(np.quantile(finite, 0.01) * 10) / 10) if finite.size else 0.0

    def ranked(self, n: int, least: bool) -> list[tuple[int, int]]:
        """(sequence, position) of the n least or most alike tokens, the extreme one first."""
        flat = self.cosine.ravel()
        order = np.argsort(flat if least else -flat, kind="stable")  # NaN comes last
        places = [i for i in order[:n] if np.isfinite(flat[i])]
        return [divmod(int(i), self.cosine.shape[1]) for i in places]

    def text(self, sequence: int, position: int) -> str:
        """A token's text, or its number where there is no tokenizer."""
        return self.texts[sequence][position] if self.texts else f"[{self.ids[sequence, position]}]"


def token_request_of(facts: CellFacts, batch: int) -> Comparison:
    """The comparison whose result `token_table` shows.

    Args:
        batch: counted from 0.
    """
    comparison, _ = token_comparison(
        (facts.f, facts.layer_f), (facts.g, facts.layer_g), view_of(facts.comparison, 1), facts.comparison.data, batch
    )
    return comparison


def token_table(store: ResultStore, comparison: Comparison) -> TokenTable | None:
    """The stored alignment with the text of its tokens, None where it is not computed."""
    entry = store.get(comparison.key)
    if entry is None:
        return None
    ids = entry.arrays["tokens"]
    try:
        flat = token_texts(model_spec(comparison.f.name).tokenizer_repo, ids.ravel())
        texts, untold = [flat[at : at + ids.shape[1]] for at in range(0, len(flat), ids.shape[1])], ""
    except UserError as error:
        texts, untold = None, str(error)
    return TokenTable(ids, texts, untold, entry.arrays["cosine"], entry.arrays["contribution"])


def shade(cosine: float, floor: float) -> int:
    """0 (alike: no shade) … SHADES − 1 (at the floor or below), in equal steps of the cosine."""
    share = (1.0 - cosine) / max(1.0 - floor, 1e-9)
    return int(min(SHADES - 1, max(0.0, share) * SHADES))


def text_html(table: TokenTable) -> str:
    """The batch as HTML: a paragraph a sequence, a span a token with its shade and its numbers as a title;
    every text is escaped."""
    paragraphs = []
    for sequence in range(len(table.ids)):
        spans = "".join(_span(table, sequence, position) for position in range(table.ids.shape[1]))
        paragraphs.append(f'<p><b class="no">{sequence + 1}</b>{spans}</p>')
    return f'<div class="repdiss-tokens">{"".join(paragraphs)}</div>'


def legend_html(table: TokenTable) -> str:
    """The shades with the cosines at which each begins."""
    steps = [1.0 - (1.0 - table.floor) * k / SHADES for k in range(SHADES + 1)]
    cells = "".join(
        f'<span class="s{k}" title="{_number(steps[k + 1])} to {_number(steps[k])}"></span>' for k in range(SHADES)
    )
    return (
        f'<div class="repdiss-legend"><span>alike, {_number(1.0)}</span>{cells}<span>{_number(table.floor)} or less, '
        "placed differently</span></div>"
    )


def list_html(table: TokenTable, n: int, least: bool) -> str:
    """A table of the most or the least alike tokens in their context."""
    import pandas as pd

    frame = pd.DataFrame([_ranked(table, *place) for place in table.ranked(n, least)])
    return html_table(frame, "repdiss-ranked", markup=(IN_TEXT,))


def _ranked(table: TokenTable, sequence: int, position: int) -> dict[str, str]:
    """{column: cell} of one token, with the tokens around it."""
    first, last = max(0, position - AROUND), min(table.ids.shape[1], position + 1 + AROUND)
    before = "".join(_visible(table.text(sequence, p)) for p in range(first, position))
    after = "".join(_visible(table.text(sequence, p)) for p in range(position + 1, last))
    cosine = float(table.cosine[sequence, position])
    token = f'<span class="t s{shade(cosine, table.floor)}">{_visible(table.text(sequence, position))}</span>'
    share = table.contribution[sequence, position] / table.hsic1 if table.hsic1 else float("nan")
    return {
        IN_TEXT: f"<small>{before}</small>{token}<small>{after}</small>",
        "cosine": _number(cosine),
        "share of HSIC₁": f"{100 * share:.2f} %".replace("-", "\u2212"),
        "sequence:token": f"{sequence + 1}:{position + 1}",
    }


def _span(table: TokenTable, sequence: int, position: int) -> str:
    cosine = float(table.cosine[sequence, position])
    words = _visible(table.text(sequence, position))
    if not np.isfinite(cosine):
        return f'<span class="t none" title="no value">{words}</span>'
    title = (
        f"cosine {_number(cosine)}, token {position + 1} of sequence {sequence + 1}, id {table.ids[sequence, position]}"
    )
    broken = "<br>" if table.text(sequence, position).endswith("\n") else ""
    return f'<span class="t s{shade(cosine, table.floor)}" title="{title}">{words}</span>{broken}<wbr>'


def _visible(text: str) -> str:
    """Escaped text in which spaces and new lines are to be seen, quietly."""
    return html.escape(text).replace(" ", SPACE).replace("\n", NEW_LINE)


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "\u2212")
