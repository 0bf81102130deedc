"""HSIC over tokens of four different sequences: unbiased even though tokens of one sequence are not independent.
numpy only.

The U-statistic averages K_ij (L_ij + L_qr − 2 L_iq) over all ordered 4-tuples (i, j, q, r) whose tokens come from
four distinct sequences. With c_i the sequence of token i, m_i that sequence's length, m_s the length of sequence s,
M_k = Σ m_s^k, K̃ = K with zeros wherever c_i = c_j, E (n, S) the one-hot rows of c, P = K̃E, r = K̃1, Q = EᵀK̃E
(and the same for L):

    T1 = Σ_ij K̃_ij L̃_ij [(n − m_i − m_j)² − M_2 + m_i² + m_j²]
    T3 = Σ_i [(n − m_i)(r_K r_L − P_K·P_L) − (P_K m) r_L − r_K (P_L m) + 2 (P_K∘P_L) m]
    T4 = ΣQ_K ΣQ_L − 4 (Q_K 1)·(Q_L 1) + 2 ΣQ_K∘Q_L
    HSIC = (T1 + T4 − 2 T3) / n_4,   n_4 = n⁴ − 6 n² M_2 + 8 n M_3 + 3 M_2² − 6 M_4  (the number of such 4-tuples)

HSIC(K, K) is a mean of squares, (K_ij + K_qr − K_iq − K_jr)²/4, and so never negative, and a batch's CKA lies in
[−1, 1]. All is divided by n² below, so that the weights of T1 are near 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.measures.hsic import Correction, Estimator

MIN_SEQUENCES = 4


def check_sequence_ids(ids: Any, n: int) -> np.ndarray:
    """(n,) the ids as 0 … S−1.

    Raises:
        UserError: where ids are missing, of the wrong length, or name fewer than 4 sequences.
    """
    if ids is None:
        raise UserError(
            'The estimator "sequence_aware" needs to know which sequence each token belongs to: give '
            "sequence_ids, one id for each of the "
            f"{n} tokens."
        )
    ids = np.asarray(ids.detach().cpu() if hasattr(ids, "detach") else ids)
    if ids.shape != (n,):
        raise UserError(
            f"sequence_ids has shape {ids.shape}, but there are {n} tokens: give one id for each token, shape ({n},)."
        )
    names, numbered = np.unique(ids, return_inverse=True)
    if len(names) < MIN_SEQUENCES:
        raise UserError(
            f"The sequence-aware estimator compares tokens of {MIN_SEQUENCES} different sequences, and this batch "
            f"holds {len(names)}: "
            f'use batches of at least {MIN_SEQUENCES} sequences, or the estimator "unbiased".'
        )
    return numbered.reshape(-1)


def _correction(n: int, ids: np.ndarray | None) -> Correction:
    """Weights of the statistics (P, r, Pm + r, Pm − r, Q, Q1, ΣQ) and of the entries of K̃∘L̃."""
    assert ids is not None, "the estimator needs sequences, so that `check_sequence_ids` has run"
    lengths = np.bincount(ids).astype(np.float64)  # m_s, (S,)
    m = lengths[ids]  # (n,)
    m2, m3, m4 = ((lengths**k).sum() for k in (2, 3, 4))
    pairs = (n - m[:, None] - m[None, :]) ** 2 - m2 + m[:, None] ** 2 + m[None, :] ** 2
    pairs[ids[:, None] == ids[None, :]] = 0.0
    weights = (
        2.0 * (n - m)[:, None] - 4.0 * lengths[None, :],  # P, from −2 T3
        -2.0 * (n - m),  # r
        np.ones(n),  # ab' + a'b = [(a + b)(a' + b') − (a − b)(a' − b')] / 2 with a = Pm, b = r
        -np.ones(n),
        np.full((len(lengths), len(lengths)), 2.0),  # Q, from T4
        np.full(len(lengths), -4.0),  # Q1
        np.ones(1),  # ΣQ
    )
    tuples = n**4 - 6.0 * n**2 * m2 + 8.0 * n * m3 + 3.0 * m2**2 - 6.0 * m4
    return Correction(np.concatenate([w.reshape(-1) for w in weights]) / n**2, tuples / n**2, pairs / n**2)


def _statistics(row_sums: np.ndarray, diagonal: np.ndarray, c: Any, ids: np.ndarray | None) -> np.ndarray:
    """(p,) the statistics in the order of `_correction`; c is (n, d)."""
    assert ids is not None, "the estimator needs sequences, so that `check_sequence_ids` has run"
    c = np.asarray(c, dtype=np.float64)
    lengths = np.bincount(ids).astype(np.float64)
    one_hot = np.zeros((len(ids), len(lengths)))
    one_hot[np.arange(len(ids)), ids] = 1.0
    P = c @ (one_hot.T @ c).T  # (n, S): K E
    P[np.arange(len(ids)), ids] = 0.0  # K̃ has nothing inside a sequence
    r, Pm = P.sum(axis=1), P @ lengths
    Q = one_hot.T @ P  # (S, S)
    return np.concatenate([P.reshape(-1), r, Pm + r, Pm - r, Q.reshape(-1), Q.sum(axis=1), [Q.sum()]])


SEQUENCE_AWARE = Estimator(
    "sequence_aware",
    "sequence-aware (tokens of four different sequences)",
    False,
    True,
    _correction,
    _statistics,
    needs_sequences=True,
)
