"""Token alignment through the engine equals the measure on the very features, and is computed once."""

from __future__ import annotations

import numpy as np
import pytest

from repdiss_core.base.comparison import Request
from repdiss_core.base.errors import UserError
from repdiss_core.data import open_stream
from repdiss_core.engine.groups import is_complete
from repdiss_core.engine.run import Engine
from repdiss_core.measures.token_alignment import token_alignment
from repdiss_core.models import load_model
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView, bundled_preset, data_id, token_comparison

F, G = "mini-gelu-3l-s0", "mini-solu-3l-s0"


def test_entries_hold_what_the_measure_gives() -> None:
    data = data_id(bundled_preset(), "eval")
    comparison, swapped = token_comparison((G, 3), (F, 1), CkaView(), data, batch=2)
    assert swapped and (comparison.f.name, comparison.layer_pair) == (F, (1, 3))
    store = ResultStore.open()
    engine = Engine(store)
    request = Request((comparison,), 1)
    engine.run(request, lambda *progress: None)
    entry = store.get_local(comparison.key)
    assert entry is not None and is_complete(store, comparison, 1)
    batch = open_stream(data.name, data.split, data.sequences_per_batch, data.tokens_per_sequence, data.seed).batch(2)
    layers = [list(load_model(name).residuals(batch))[layer - 1].reshape(-1, 128) for name, layer in ((F, 1), (G, 3))]
    direct = token_alignment(*layers)
    np.testing.assert_array_equal(entry.arrays["tokens"], batch.tokens)
    np.testing.assert_allclose(entry.arrays["cosine"].reshape(-1), direct.cosine, atol=1e-9)
    np.testing.assert_allclose(entry.arrays["contribution"].sum(), direct.hsic1, rtol=1e-9)


def test_layers_out_of_range_are_told() -> None:
    with pytest.raises(UserError, match="has layers 1 to 3; layer 4 was asked for"):
        token_comparison((F, 4), (G, 1), CkaView(), data_id(bundled_preset(), "eval"))
