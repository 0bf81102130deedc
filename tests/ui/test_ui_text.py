"""Words on the page: markup is shown, not obeyed; ages and durations in words."""

import pytest

from repdiss_core.ui.parts import text


@pytest.mark.parametrize(
    "typed", ["<script>alert(1)</script>", "**bold**", "[a](http://x)", ":material/home:", "$x$", "# head"]
)
def test_what_a_user_typed_loses_its_markup(typed):
    escaped = text.as_text(typed)
    assert escaped.replace("\\", "") == typed
    for mark in "*[]()<>$#:`":
        assert f"{mark}" not in escaped.replace(f"\\{mark}", "")


@pytest.mark.parametrize(
    ("seconds", "words"), [(3, "just now"), (720, "12 min ago"), (10800, "3 h ago"), (4 * 86400, "4 days ago")]
)
def test_ages(seconds, words):
    assert text.age(1000.0, 1000.0 + seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(2, "a few seconds"), (41, "about 40 s"), (180, "about 3 min"), (7200, "about 2.0 h")]
)
def test_durations(seconds, words):
    assert text.duration(seconds) == words


def test_sizes_and_counts():
    assert text.size(3_200_000) == "3.2 MB"
    assert text.size(12) == "12 bytes"
    assert text.count(102400) == "102\u2009400"
