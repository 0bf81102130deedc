"""Tokens shaded by how alike two layers place them: scale, order, escaping, and text without a tokenizer."""

from __future__ import annotations

import numpy as np
import pytest

from repdiss_core import bundled
from repdiss_core.base.errors import UserError
from repdiss_core.data.token_text import token_texts
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry import question as asymmetry
from repdiss_core.studies.cell import cka_cell
from repdiss_core.studies.tokens import (
    SHADES,
    TokenTable,
    legend_html,
    list_html,
    shade,
    text_html,
    token_request_of,
    token_table,
)

COSINE = np.array([[0.9, 0.31, np.nan, -0.2], [1.0, 0.5, 0.6, 0.7]])
TEXTS = [["<b>", " x", "\n", "&"], ["a", "b", "c", "d"]]


def table(**fields) -> TokenTable:
    known = {
        "ids": np.arange(8).reshape(2, 4),
        "texts": TEXTS,
        "untold": "",
        "cosine": COSINE,
        "contribution": np.full((2, 4), 0.5),
    }
    return TokenTable(**known | fields)


def test_the_least_and_the_most_alike_come_first_and_tokens_without_a_value_never():
    assert table().ranked(3, least=True) == [(0, 3), (0, 1), (1, 1)]
    assert table().ranked(2, least=False) == [(1, 0), (0, 0)]
    assert len(table().ranked(99, least=True)) == 7


def test_shades_run_from_the_floor_to_one():
    assert shade(1.0, 0.2) == 0
    assert shade(0.2, 0.2) == shade(-1.0, 0.2) == SHADES - 1
    assert [shade(c, 0.0) for c in (0.99, 0.8, 0.45, 0.01)] == [0, 1, 4, 7]
    steps = [shade(c, -0.2) for c in np.linspace(1, -0.2, 50)]
    assert steps == sorted(steps)
    assert table().floor == -0.2


def test_text_is_escaped_and_whitespace_is_to_be_seen():
    shown = text_html(table())
    assert "&lt;b&gt;" in shown and "&amp;" in shown and "<b>" not in shown.replace('<b class="no">', "")
    assert '<i class="ws">·</i>x' in shown and "↵" in shown
    assert shown.count('class="t none"') == 1
    assert shown.count("<p>") == 2
    assert "cosine \u22120.20, token 4 of sequence 1, id 3" in shown


def test_the_lists_give_cosine_share_and_place():
    shown = list_html(table(), 1, least=True)
    assert f'<span class="t s{SHADES - 1}">&amp;</span>' in shown
    assert "<td>\u22120.20</td><td>12.50 %</td><td>1:4</td>" in shown
    assert "&lt;b&gt;" in shown, "the tokens before it are its context"


def test_the_legend_names_both_ends():
    assert "alike, 1.00" in legend_html(table()) and "\u22120.20 or less" in legend_html(table())
    assert legend_html(table()).count("title=") == SHADES


def test_tokens_of_the_bundled_tokenizer_have_their_text():
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(bundled.TOKENIZER_FILE)).encode("import numpy as np\n").ids
    assert "".join(token_texts("", ids)) == "import numpy as np\n"
    assert bundled.SEPARATOR in token_texts("bundled", range(300))


def test_another_tokenizer_is_told_and_numbers_stand_in():
    with pytest.raises(UserError, match="the tokenizer of some/model is not on this machine"):
        token_texts("some/model", [1])
    shown = text_html(table(texts=None, untold="no tokenizer"))
    assert "[0]" in shown and "[7]" in shown


def test_a_stored_alignment_is_read_and_a_missing_one_is_none():
    store = ResultStore.open()
    facts = cka_cell(store, asymmetry.cka_panels(asymmetry.AsymmetryParams())[2], 0, 1, "mean_of_ratios", 10)
    comparison = token_request_of(facts, 3)
    assert (comparison.measure, comparison.layer_pair, comparison.setting("batch")) == ("token_alignment", (2, 1), 3)
    assert token_table(store, comparison) is None
    arrays = {
        "tokens": np.arange(6).reshape(2, 3),
        "cosine": np.full((2, 3), 0.5),
        "contribution": np.full((2, 3), 0.25),
    }
    store.put(comparison.key, arrays, {"comparison": comparison.to_dict()})
    found = token_table(store, comparison)
    assert found.hsic1 == 1.5
    assert [len(row) for row in found.texts] == [3, 3]
