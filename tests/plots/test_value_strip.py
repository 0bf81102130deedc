"""The strip of values behind a number: every value once, the number with its interval, and nothing for nothing."""

import numpy as np
import pytest

from repdiss_core.plots.theme import LOOKS
from repdiss_core.plots.value_strip import MANY, value_strip

LOOK = LOOKS["page"]
NAN = float("nan")


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def test_each_value_is_a_dot_and_close_ones_are_stacked():
    sample = np.array([0.5, 0.5, 0.5, 0.9, NAN])
    dots = trace(value_strip(sample, (0.6, 0.1, 0.4, 0.8), LOOK, "CKA", "batch"), "values")
    assert list(dots.x) == [0.5, 0.5, 0.5, 0.9]
    assert sorted(dots.y) == [1, 1, 2, 3]
    assert list(dots.customdata) == [1, 2, 3, 4]


def test_the_number_has_its_interval():
    mark = trace(value_strip(np.linspace(0, 1, 9), (0.5, 0.1, 0.3, 0.8), LOOK, "CKA", "batch"), "value")
    assert mark.error_x.array[0] == pytest.approx(0.3)
    assert mark.error_x.arrayminus[0] == pytest.approx(0.2)
    assert "[0.300, 0.800]" in mark.hovertemplate
    lone = trace(value_strip(np.array([0.5]), (0.5, NAN, NAN, NAN), LOOK, "CKA", "batch"), "value")
    assert lone.error_x.array is None
    assert "nan" not in lone.hovertemplate


def test_many_values_become_columns_that_count_them_all():
    columns = trace(
        value_strip(np.random.default_rng(0).normal(size=MANY + 1), (0.0, 0.1, -0.2, 0.2), LOOK, "loss", "sequence"),
        "values",
    )
    assert columns.type == "bar"
    assert sum(columns.y) == MANY + 1


@pytest.mark.parametrize("sample", [np.zeros(0), np.full(3, NAN)])
def test_nothing_is_told(sample):
    figure = value_strip(sample, (NAN,) * 4, LOOK, "CKA", "batch")
    assert figure.layout.annotations[0].text == "no value"
