"""RepDiss: see, measure and present how the internal representations of language models differ.

Notation, used in every module:

==================  ==============================================================================================
f, g                two models; f gives the rows of a CKA map and the bottom of a stitched model, g columns and top
l, m / layer_f, …   a layer: the residual stream after block l, counted from 1 (0 is the embedding)
n_layers_f          depth of f (the paper's L); L_f in shapes
n                   tokens (rows of a feature matrix) in a batch
d_model             width of the residual stream
K, L                Gram matrices of features, (n, n); only inside measures
hsic1               the unbiased estimator of HSIC by Song et al. (2012)
phi                 the stitching layer: LayerNorm and an affine map (the identity in identity stitching)
penalty             loss of the stitched model minus the loss of g alone, in nats a token
resid_post          the residual stream after a block, addition included
==================  ==============================================================================================
"""

__version__ = "0.1.0"
