"""Centring and scaling of feature matrices so that float32 Gram matrices keep their digits."""

from __future__ import annotations

import torch
from torch import Tensor

from repdiss_core.base.errors import UserError

MASSIVE = 4.0  # a token this many times as long as the median token does not take part in the centre
SAFE_NORM = (2.0**-26, 2.0**26)  # norms whose fourth powers, summed over a chunk, stay inside float32


def centre_into(x: Tensor, c: Tensor, robust: bool, name: str) -> tuple[Tensor, Tensor, int]:
    """Write the centred features c = 2^−exponent · (x − centre) of one layer into a buffer.

    HSIC₁ of a linear kernel is the same for every centre, so the centre is chosen for accuracy. It is the mean of
    the tokens, and where `robust`, of those tokens that are not massive: with one token 1000 times as long as the
    others their mean lies far from all of them, and the digits of every other product would drown in its square.
    Rounding the centre to float32 costs nothing, since any centre is as right as another and the subtraction of
    near numbers is exact.

    Args:
        x: (n, d) features of any real floating type.
        c: (n_padded, d) buffer; the rows beyond n must be 0 and stay so.
        robust: leave massive tokens out of the centre.
        name: what error sentences call the layer.

    Returns:
        (norms (n,) of the rows of c; (n,) 1 for each token that took part in the centre, else 0; exponent).

    Raises:
        UserError: for NaN or infinite features.
    """
    rows = c[: len(x)]
    norms, typical = _centre(x, rows, robust)
    longest = float(norms.max())
    if SAFE_NORM[0] <= longest <= SAFE_NORM[1]:
        return norms, typical.to(c.dtype), 0
    _refuse_non_finite(x, name)
    # Too large or too small for float32 products: take powers of two out, in float64, before and after centring.
    exact = x.detach().cpu().double()
    first = _exponent(exact)
    centred = torch.empty_like(exact)
    _, typical = _centre(exact * 2.0**-first, centred, robust)
    second = _exponent(centred)
    rows.copy_(centred * 2.0**-second)
    return torch.linalg.vector_norm(rows, dim=1), typical.to(c), first + second


def gram_row_sums(c: Tensor, norms: Tensor, typical: Tensor) -> Tensor:
    """(n,) the sums Σ_{j≠i} c_i·c_j of each row of the Gram matrix without its diagonal.

    c_i·Σc − |c_i|² would do, but for a massive token both terms are a square that must cancel; its products with
    the others are therefore summed one by one.

    Args:
        c: (n, d) centred features.
        norms: (n,) lengths of its rows.
        typical: (n,) 1 for tokens that are not massive, 0 for those that are.
    """
    sums = torch.mv(c, torch.mv(c.T, typical)) - typical * norms**2
    massive = torch.nonzero(typical == 0).flatten()
    if len(massive):
        products = c @ c[massive].T  # (n, n_massive)
        products[massive, torch.arange(len(massive), device=c.device)] = 0.0
        sums += products.sum(dim=1)
    return sums


def _centre(x: Tensor, out: Tensor, robust: bool) -> tuple[Tensor, Tensor]:
    """Write x − centre into out; returns ((n,) row norms of the result, (n,) 1 for each token that took part in the
    centre)."""
    weights = torch.ones(len(x), dtype=x.dtype, device=x.device)
    for _ in range(4 if robust else 1):  # a giant token can hide lesser ones, so look again after leaving it out
        torch.sub(x, torch.mv(x.T, weights / weights.sum()), out=out)
        norms = torch.linalg.vector_norm(out, dim=1)
        typical = (norms <= MASSIVE * norms.median()).to(x.dtype)
        if not robust or bool((typical == weights).all()):
            break
        weights = typical
    return norms, weights


def _exponent(x: Tensor) -> int:
    """The power of two just above the largest magnitude; 0 for an all-zero matrix."""
    return max(-1000, min(1000, int(torch.frexp(x.abs().max()).exponent)))  # 2**±1000 is itself a float64


def _refuse_non_finite(x: Tensor, name: str) -> None:
    finite = torch.isfinite(x)
    if bool(finite.all()):
        return
    row = int((~finite).any(dim=1).nonzero()[0])
    raise UserError(
        f"{name} holds NaN or infinite features (first in row {row}), where finite numbers were expected: "
        "leave out the tokens that overflow, or run the model in float32 or bfloat16."
    )
