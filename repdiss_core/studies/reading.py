"""How to read the kinds of figures that more than one study has, and how high they stand on a page."""

from __future__ import annotations

LINK = "layers"  # all maps of layers on a page outline the cell under the pointer together
MAP_HEIGHT, CURVE_HEIGHT, LEARNING_HEIGHT = 356, 410, 340  # pixels
FILE_MAP_HEIGHT, FILE_CURVE_HEIGHT = 380, 420
HOW_STITCHING_READS = (
    "A stitch runs model f up to layer *l*, then one trained layer (LayerNorm and an affine map), "
    "then model g from layer *l* on. "
    "“SoLU → GeLU” has SoLU below and GeLU on top. The colour is that of the bottom model; "
    "a dashed line changes the activation function. "
    "Thin grey lines are controls: the same activation function, another seed. "
    "Dotted lines are the models’ own losses. Bars are 95 % intervals. "
    "The penalty is the loss of the stitch minus that of its top model alone."
)
HOW_CKA_READS = (
    "Each cell compares the residual stream after one block with that after another: "
    "1 is the same up to rotation and scale, "
    "0 is unrelated. All maps share one scale. CKA is estimated without bias, so unrelated layers scatter around 0 and "
    "values below 0, drawn in grey, are to be expected. Point at a cell for its interval."
)
