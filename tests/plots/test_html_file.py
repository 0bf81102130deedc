"""Exported files: self-contained, every text shown as text, the figures' numbers inside."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from repdiss_core.plots.html_file import LIBRARY, Section, figure_file, page_file, table_file, tour_file
from repdiss_core.plots.html_table import html_table
from repdiss_core.plots.theme import LOOKS, assemble
from repdiss_core.studies import exports

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & “quoted” \"q\" 'a'"


class Seen(HTMLParser):
    """Tags, attributes and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.inside:
            self.inside.remove(tag)

    def handle_data(self, data):
        if not {"script", "style"} & set(self.inside):
            self.text.append(data)


def figure(name: str = "plain"):
    return assemble(
        [{"type": "scatter", "x": [1, 2], "y": [0.123456789, 0.5], "name": name, "text": [name, name]}],
        {},
        LOOKS["print"],
        300,
    )


@pytest.mark.parametrize("make", [page_file, tour_file])
def test_what_a_person_typed_is_text_wherever_it_stands(make) -> None:
    table = pd.DataFrame([(NASTY, "1")], columns=[NASTY, "b"])
    section = Section(NASTY, NASTY, NASTY, ((figure(NASTY), NASTY),), table, f"https://example.org/?q={NASTY}")
    seen = Seen(make(NASTY, NASTY, [section], [NASTY]))
    scripts = [tag for tag, _ in seen.tags if tag == "script"]
    assert len(scripts) == {page_file: 2, tour_file: 3}[make], "the library, the figure, the stepping: no other script"
    assert not [tag for tag, _ in seen.tags if tag == "img"]
    assert "".join(seen.text).count(NASTY) == 11  # the title stands twice


def test_nothing_is_fetched_and_the_policy_forbids_it() -> None:
    seen = Seen(page_file("t", "", [Section("s", figures=((figure(), "c"),))], ()))
    assert not [
        value
        for _, attrs in seen.tags
        for name, value in attrs.items()
        if name in ("src", "srcset") or (name == "href" and value != "data:,")
    ]
    (policy,) = [attrs["content"] for tag, attrs in seen.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "http" not in policy


def test_the_numbers_of_the_figure_are_in_the_file() -> None:
    page = figure_file("t", [(figure(), "c"), (figure(), "d")])
    assert page.count("0.123456789") == 2
    assert page.count(LIBRARY.read_text("utf-8")[:400]) == 1, "one library for all figures"
    assert LIBRARY.read_text("utf-8")[:400] not in table_file("t", pd.DataFrame({"a": [1]}))


def test_a_link_that_is_no_web_address_is_left_out() -> None:
    assert "javascript:" not in page_file("t", "", [Section("s", link="javascript:alert(1)")], ())


def test_a_table_keeps_every_cell() -> None:
    frame = pd.DataFrame([(1, None), ("x", 2.5)], columns=["a", "b"], dtype=object)
    page = table_file("t", frame)
    assert "<tr><td>1</td><td></td></tr><tr><td>x</td><td>2.5</td></tr>" in page


def test_a_citation_names_title_basis_key_and_address() -> None:
    line = exports.citation("CKA of 3-layer models", "two models · 100 batches.", "a" * 64, "http://127.0.0.1/x#fig4")
    assert (
        line == f"RepDiss: CKA of 3-layer models. two models · 100 batches. result {'a' * 12}. http://127.0.0.1/x#fig4."
    )
    assert exports.citation("t", "", "b" * 64) == f"RepDiss: t. result {'b' * 12}."


def test_the_steps_of_a_tour_follow_the_arrow_keys() -> None:
    page = tour_file("t", "", [Section("one"), Section("two")], ())
    (keys,) = re.findall(r"const by=(\{.*?\})\[e\.key\]", page)
    assert json.loads(re.sub(r"(\w+):", r'"\1":', keys)) == {
        "ArrowRight": 1,
        "PageDown": 1,
        "ArrowLeft": -1,
        "PageUp": -1,
    }


def test_markup_is_kept_only_in_the_columns_that_are_named() -> None:
    frame = pd.DataFrame([("<b>a</b>", "<b>b</b>", np.nan)], columns=["<i>", "y", "z"], dtype=object)
    shown = html_table(frame, "list", markup=("<i>",))
    assert shown.startswith('<table class="list"><thead><tr><th scope="col">&lt;i&gt;</th>')
    assert "<tr><td><b>a</b></td><td>&lt;b&gt;b&lt;/b&gt;</td><td></td></tr>" in shown
