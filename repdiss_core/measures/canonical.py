"""What SVCCA and PWCCA share: how many tokens canonical correlations need, and what they cost."""

from __future__ import annotations

from repdiss_core.base.errors import UserError


def least_tokens(d_f: int, d_g: int) -> int:
    """The smallest batch on which canonical correlations of d_f and d_g features say anything: n > d_f + d_g.

    With fewer tokens some correlations are 1 whatever the features are.
    """
    return d_f + d_g + 1


def check_widths(n: int, widths_f: tuple[int, ...], widths_g: tuple[int, ...], measure: str) -> None:
    """Raise `UserError` where a batch is too small for the widest pair of layers."""
    d_f, d_g = max(widths_f), max(widths_g)
    least = least_tokens(d_f, d_g)
    if n < least:
        raise UserError(
            f"{measure} of layers of {d_f} and {d_g} features needs more tokens than features of both "
            f"together, and this batch holds {n}: use batches of at least {least} tokens, or Procrustes "
            "similarity, which takes fewer."
        )


def basis_flops(n: int, d: int) -> float:
    """Operations for an orthonormal basis of (n, d) features with n > d by a thin singular value decomposition."""
    return 6.0 * n * d * d + 20.0 * d**3
