"""The registry of data sets."""

from __future__ import annotations

import subprocess
import sys

import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.data import DATASETS, content_id, open_stream, versions_differ


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(UserError, match=r"no data set named 'docstring'. Did you mean docstrings\?"):
        open_stream("docstring", "eval")
    with pytest.raises(UserError, match=r"no split of docstrings named 'evl'. Did you mean eval\?"):
        content_id("docstrings", "evl")
    with pytest.raises(UserError, match="no data set named 'pile'"):
        versions_differ("pile")


def test_specs_say_what_there_is():
    spec = DATASETS["docstrings"]
    assert spec.source == "bundled" and spec.splits == ("eval", "phi", "train")
    sizes = dict(spec.n_tokens)
    assert sizes["eval"] >= 250_000 and sizes["phi"] >= 250_000 and sizes["train"] > 4_000_000
    assert ("numpy", "2.4.6") in spec.packages
    assert len(content_id("docstrings", "eval")) == 64


def test_streams_of_the_real_tokens():
    stream = open_stream("docstrings", "eval", 8, 128, seed=0)
    assert stream.data_id.content == content_id("docstrings", "eval")
    assert stream.n_batches >= 250
    batch = stream.batch(0)
    assert batch.tokens.shape == (8, 128) and batch.tokens.min() >= 0 and batch.tokens.max() < 2048


def test_importing_the_registry_is_cheap():
    code = (
        "import sys, repdiss_core.data, repdiss_core.models; repdiss_core.data.content_id('docstrings', 'eval'); "
        "print(sorted({'torch', 'transformers', 'transformer_lens', 'datasets', 'tokenizers'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
