"""State tags of cards and tiles, and maps of stitches as far as they are stored."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import put_stitch

from repdiss_core.plots.theme import LOOKS
from repdiss_core.runs.job_files import JobStatus
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.asymmetry.question import AsymmetryParams
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.common import bundled_preset
from repdiss_core.studies.drawn import Drawn
from repdiss_core.studies.pair.stitch_map import compose_stitch_maps, pair_maps
from repdiss_core.studies.paper import FIGURES, figure_parts
from repdiss_core.ui.cards.figure_card import state_tag
from repdiss_core.ui.paper_map import figure_state

DONE = Drawn(None, Caption(), True, "local", 1000.0, [])
JOB = JobStatus("0" * 64, "CKA", "running", fraction=0.4, seconds_left=62)


@pytest.mark.parametrize(
    ("drawn", "job", "words"),
    [
        (replace(DONE, origin="shipped"), None, "shipped result"),
        (DONE, None, "computed here, 12 min ago"),
        (DONE, JOB, "computing, 40 %, about 60 s left"),
        (DONE, replace(JOB, state="queued"), "waiting for a free worker"),
        (DONE, replace(JOB, state="done"), "computed here, 12 min ago"),
        (replace(DONE, complete=False), replace(JOB, state="cancelled"), "cancelled"),
        (replace(DONE, complete=False), None, "partly there: computed here, 12 min ago"),
        (replace(DONE, complete=False, origin=None), None, "not computed yet"),
    ],
)
def test_a_card_says_where_its_numbers_stand(drawn, job, words):
    assert state_tag(drawn, job, now=1720.0)[0] == words


def test_a_tile_is_shown_only_where_every_piece_is_stored():
    spec, parts = FIGURES["fig4"], figure_parts("fig4", AsymmetryParams())
    keys = [c.key for part in parts for c in part.comparisons]
    assert figure_state(spec, parts, set(keys), False) == "shown"
    assert figure_state(spec, parts, set(keys[:1]), False) == "partly shown"
    assert figure_state(spec, parts, set(), False) == "not computed"
    assert figure_state(spec, parts, set(), True) == "computing"


def test_a_map_of_stitches_fills_in_cell_by_cell(tmp_path):
    store, setting = ResultStore(packs=tmp_path / "no-packs"), bundled_preset()
    params = AsymmetryParams()
    maps = pair_maps(params.gelu, params.solu, setting, "quick", "stitching")
    assert [one.title for one in maps] == [f"Within {params.gelu}", f"Within {params.solu}", "Between: f into g"]
    put_stitch(store, maps[2].comparisons[1][0])
    drawn = compose_stitch_maps(store, maps, LOOKS["page"], setting, "penalty", "computing")
    assert not drawn.complete
    values = drawn.tables[2].values
    assert np.isfinite(values[1, 0])
    assert np.isnan(values).sum() == values.size - 1
    assert drawn.tables[2].to_dict()["comparison"][1][0]["layer_pairs"] == "2:1"
