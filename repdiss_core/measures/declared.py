"""What is declared of each measure: one entry a measure, and nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace

from repdiss_core.base.comparison import Setting
from repdiss_core.base.layer_pairs import AllLayers, EveryCut, OneCut, SameLayers
from repdiss_core.base.option import choices_of
from repdiss_core.base.results import BatchHsic, CutAccuracies, SameLayerHsic, StitchResult, TokenValues
from repdiss_core.measures.reduction import HSIC_RATIO
from repdiss_core.measures.spec import MeasureOption, MeasureSpec, Pass
from repdiss_core.measures.stitch_settings import PHI_SETTINGS, StitchSettings

ESTIMATOR = MeasureOption(
    id="estimator",
    label="Estimator",
    default="unbiased",
    choices=choices_of({"unbiased": "unbiased", "biased": "biased", "sequence_aware": "sequence-aware"}),
    old_labels={"sequence-aware": "sequence_aware"},
    help="Unbiased is the paper’s. Sequence-aware does not count tokens of one sequence as independent.",
    phrase="{choice} {name}",
)
SCORING = MeasureOption(
    id="scoring",
    label="Scoring",
    default="exact",
    choices=choices_of({"exact": "exact", "entailment_or_not": "entailment or not"}),
    help="Whether neutral and contradiction count as one answer.",
    phrase="",
)


def _cka_by_chance(n: int, d_f: int, d_g: int, options: Mapping[str, Setting]) -> float | None:
    """0 without bias; the biased estimator's level grows with the number of features."""
    return None if options.get("estimator") == "biased" else 0.0


CKA = MeasureSpec(
    name="cka",
    label="centered kernel alignment (linear, unbiased)",
    short="CKA",
    runs=Pass.BATCH,
    implementation="repdiss_core.measures.cka_batches",
    stored={AllLayers: BatchHsic, SameLayers: SameLayerHsic},
    reduction=HSIC_RATIO,
    options=(ESTIMATOR,),
    invariant_to=("rotation", "isotropic_scale", "shift"),
    symmetric=True,
    range=(-1.0, 1.0),
    self_value=1.0,
    independent=_cka_by_chance,
    least_tokens=lambda d_f, d_g: 4,
    cost=lambda n, d_f, d_g: n * n * (d_f + d_g) + 1.0 * n * n,
    pair_cost=lambda n, d_f, d_g: 1.0 * n * n,
    self_term="hsic",
    for_any_pair=True,
    means=(
        "How alike two layers’ features are over the same tokens. 1 is the same up to rotation and scale; "
        "0 is unrelated."
    ),
    source="Kornblith et al. 2019",
)
STITCHING = MeasureSpec(
    name="stitching",
    label="stitching penalty (LayerNorm + affine phi, trained)",
    short="stitching",
    runs=Pass.STITCH,
    implementation="repdiss_core.measures.stitch_measures:TRAINED",
    stored={OneCut: StitchResult},
    settings=(*(f.name for f in dataclasses.fields(StitchSettings)), *PHI_SETTINGS, "eval_batches"),
    direction="different",
    unit="nats a token",
    for_any_pair=True,
    means=(
        "What it costs to run one model up to a layer, a trained map, and the other model from its layer on. "
        "Lower is better."
    ),
    source="Lenc and Vedaldi 2015; Bansal et al. 2021",
)
IDENTITY_STITCHING = replace(
    STITCHING,
    name="identity_stitching",
    label="identity stitching penalty (phi = id)",
    short="identity stitching",
    implementation="repdiss_core.measures.stitch_measures:IDENTITY",
    settings=("eval_batches",),
    self_value=0.0,
    means=(
        "What it costs to run one model up to a layer and the other from its layer on, with nothing between. "
        "Lower is better."
    ),
)
STITCHED_ACCURACY = MeasureSpec(
    name="stitched_accuracy",
    label="accuracy after identity stitching (classifiers, every cut)",
    short="stitched accuracy",
    runs=Pass.ACCURACY,
    implementation="repdiss_core.measures.stitched_accuracy",
    stored={EveryCut: CutAccuracies},
    options=(SCORING,),
    settings=("items",),
    range=(0.0, 1.0),
    unit="fraction right",
    means="The share of items that a classifier gets right when its lower blocks are another’s.",
    source="Bansal et al. 2021",
)
TOKEN_ALIGNMENT = MeasureSpec(
    name="token_alignment",
    label="alignment of single tokens (rows of the U-centred Gram matrices)",
    short="token alignment",
    runs=Pass.TOKENS,
    implementation="repdiss_core.measures.token_alignment:token_alignment",
    stored={OneCut: TokenValues},
    settings=("batch",),
    invariant_to=("rotation", "isotropic_scale", "shift"),
    symmetric=True,
    range=(-1.0, 1.0),
    self_value=1.0,
    independent=lambda n, d_f, d_g, options: 0.0,
    least_tokens=lambda d_f, d_g: 4,
    cost=lambda n, d_f, d_g: 2.0 * n * n * (d_f + d_g) + 8.0 * n * n,
    means="How alike two layers place one token among the others of a batch.",
    source="rows of the U-centred matrices of Székely and Rizzo 2014",
)
