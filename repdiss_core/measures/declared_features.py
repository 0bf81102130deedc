"""What is declared of the measures of features beside CKA: one entry a measure, and nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import comb, log2
from typing import Any

from repdiss_core.base.comparison import Setting
from repdiss_core.base.layer_pairs import AllLayers, LayerPairs
from repdiss_core.base.option import Choice
from repdiss_core.base.results import BatchValues, Stored
from repdiss_core.measures.reduction import BATCH_MEAN, SHARE_EXPLAINED
from repdiss_core.measures.spec import MeasureOption, MeasureSpec, Pass

ROTATIONS = ("rotation", "isotropic_scale", "shift")
MAP: Mapping[type[LayerPairs], type[Stored]] = {AllLayers: BatchValues}


def _option(id: str, label: str, default: Setting, labels: Mapping[Any, str], help: str, phrase: str) -> MeasureOption:
    """An option whose choices are values of keys."""
    choices = tuple(Choice(str(value), name, value) for value, name in labels.items())
    return MeasureOption(id, label, choices, default, help, phrase=phrase)


K = _option(
    "k",
    "Neighbours",
    10,
    {k: str(k) for k in (5, 10, 20, 50)},
    "How many nearest neighbours a token has.",
    "k = {choice}",
)
AMONG = _option(
    "neighbours",
    "Neighbours from",
    "all",
    {"all": "all tokens", "other_sequences": "other sequences"},
    "Tokens beside each other in a sequence are neighbours for free.",
    "neighbours from {choice}",
)


def _k(options: Mapping[str, Setting]) -> int:
    return int(options.get("k", 10))


def _shared_by_chance(n: int, d_f: int, d_g: int, options: Mapping[str, Setting]) -> float | None:
    """k/(n − 1), exactly; with neighbours from other sequences it depends on their lengths."""
    return _k(options) / (n - 1) if options.get("neighbours", "all") == "all" else None


def _jaccard_by_chance(n: int, d_f: int, d_g: int, options: Mapping[str, Setting]) -> float | None:
    """The mean over the hypergeometric number of common neighbours, exactly."""
    if options.get("neighbours", "all") != "all":
        return None
    k, total = _k(options), comb(n - 1, _k(options))
    return sum(comb(k, c) * comb(n - 1 - k, k - c) / total * c / (2 * k - c) for c in range(k + 1))


def _neighbours_cost(n: int, d_f: int, d_g: int) -> float:
    return n * n * (d_f + d_g + 4.0) + 10.0 * n


def _lists_cost(n: int, d_f: int, d_g: int) -> float:
    """Lists of neighbours that are made already are laid over each other."""
    return 130.0 * n


def _spectrum_cost(n: int, d_f: int, d_g: int) -> float:
    p, q = sorted((min(n, d_f), min(n, d_g)))
    return 2.0 * n * p * q + 2.0 * q * p * p + 10.0 * p**3


def _bases_cost(n: int, d_f: int, d_g: int) -> float:
    return sum(6.0 * n * d * d + 20.0 * d**3 for d in (d_f, d_g)) + _spectrum_cost(n, d_f, d_g)


RSA = MeasureSpec(
    name="rsa",
    label="representational similarity analysis (correlation of dissimilarities of all pairs of tokens)",
    short="RSA",
    runs=Pass.BATCH,
    implementation="repdiss_core.measures.rsa",
    stored=MAP,
    reduction=BATCH_MEAN,
    options=(
        _option(
            "correlation",
            "Correlation",
            "spearman",
            {"spearman": "Spearman", "pearson": "Pearson"},
            "Spearman compares ranks of dissimilarities, Pearson the dissimilarities themselves.",
            "{choice} correlation",
        ),
    ),
    invariant_to=("isotropic_scale", "shift"),
    symmetric=True,
    range=(-1.0, 1.0),
    self_value=1.0,
    independent=lambda n, d_f, d_g, options: 0.0,
    least_tokens=lambda d_f, d_g: 3,
    cost=lambda n, d_f, d_g: n * n * (d_f + d_g) + 2.0 * n * n * log2(max(2, n * n)),
    pair_cost=lambda n, d_f, d_g: 1.0 * n * n,
    for_any_pair=True,
    means=(
        "Whether two layers order the pairs of tokens alike by how unlike they are. 1 is the same order; "
        "0 is unrelated."
    ),
    formula=r"\rho\big(1-\mathrm{corr}(x_i,x_j),\ 1-\mathrm{corr}(y_i,y_j)\big)_{i<j}",
    source="Kriegeskorte, Mur and Bandettini 2008",
)
MUTUAL_KNN = MeasureSpec(
    name="mutual_knn",
    label="mutual nearest neighbours (share of k neighbours in common)",
    short="mutual k-NN",
    runs=Pass.BATCH,
    implementation="repdiss_core.measures.mutual_knn",
    stored=MAP,
    reduction=BATCH_MEAN,
    options=(K, AMONG),
    invariant_to=ROTATIONS,
    symmetric=True,
    range=(0.0, 1.0),
    self_value=1.0,
    independent=_shared_by_chance,
    least_tokens=lambda d_f, d_g: 11,
    cost=_neighbours_cost,
    pair_cost=_lists_cost,
    for_any_pair=True,
    means=(
        "The share of each token’s k nearest neighbours that two layers have in common. 1 is all of them; "
        "k/(n − 1) is chance."
    ),
    formula=r"\frac1{nk}\sum_i\big|N_k^X(i)\cap N_k^Y(i)\big|",
    source="Huh, Cheung, Wang and Isola 2024",
)
JACCARD_KNN = replace(
    MUTUAL_KNN,
    name="jaccard_knn",
    label="Jaccard similarity of nearest neighbours",
    short="Jaccard k-NN",
    implementation="repdiss_core.measures.jaccard_knn",
    independent=_jaccard_by_chance,
    means="Common nearest neighbours over all that a token has in either layer. 1 is the same neighbours.",
    formula=r"\frac1n\sum_i\frac{|N_k^X(i)\cap N_k^Y(i)|}{|N_k^X(i)\cup N_k^Y(i)|}",
    source="Jaccard 1912, on the lists of mutual k-NN",
)
CKNNA = replace(
    MUTUAL_KNN,
    name="cknna",
    label="centered kernel alignment over common nearest neighbours (both orders averaged)",
    short="CKNNA",
    implementation="repdiss_core.measures.cknna",
    range=(-1.0, 1.0),
    independent=lambda n, d_f, d_g, options: None,
    cost=lambda n, d_f, d_g: _neighbours_cost(n, d_f, d_g) + 120.0 * n,
    pair_cost=_lists_cost,
    means="CKA that looks at common nearest neighbours alone. 1 is the same; chance lies near k/(n − 1).",
    formula=(
        r"\frac{\mathrm{HSIC}_1(\alpha\circ K,\alpha\circ L)}{\sqrt{\mathrm{HSIC}_1(\alpha_K\circ K,\alpha_K\circ "
        r"K)\,\mathrm{HSIC}_1(\alpha_L\circ L,\alpha_L\circ L)}}"
    ),
    source="Huh, Cheung, Wang and Isola 2024; both orders averaged",
)
PROCRUSTES = MeasureSpec(
    name="procrustes",
    label="Procrustes similarity (fit after the best rotation)",
    short="Procrustes",
    runs=Pass.BATCH,
    implementation="repdiss_core.measures.procrustes",
    stored=MAP,
    reduction=BATCH_MEAN,
    invariant_to=ROTATIONS,
    symmetric=True,
    range=(0.0, 1.0),
    self_value=1.0,
    least_tokens=lambda d_f, d_g: 2,
    cost=_spectrum_cost,
    self_term="squares",
    for_any_pair=True,
    means=(
        "How well one layer falls on another after the best rotation. 1 is exactly; "
        "chance is above 0 and grows with features over tokens."
    ),
    formula=r"\frac{\|X^\top Y\|_*}{\|X\|_F\,\|Y\|_F}",
    source="Schönemann 1966; Williams, Kunz, Kornblith and Linderman 2021",
)
SVCCA = MeasureSpec(
    name="svcca",
    label="SVCCA (legacy: mean canonical correlation of principal components)",
    short="SVCCA",
    runs=Pass.BATCH,
    implementation="repdiss_core.measures.svcca",
    stored=MAP,
    reduction=BATCH_MEAN,
    options=(
        _option(
            "variance",
            "Share of variance",
            0.99,
            {0.9: "90 %", 0.95: "95 %", 0.99: "99 %"},
            "How much of each layer’s variance its principal components keep.",
            "{choice} of variance",
        ),
    ),
    invariant_to=ROTATIONS,
    symmetric=True,
    range=(0.0, 1.0),
    self_value=1.0,
    least_tokens=lambda d_f, d_g: d_f + d_g + 1,
    cost=_bases_cost,
    self_term="squares",
    for_any_pair=True,
    means=(
        "The mean canonical correlation of two layers’ principal components; an older measure. "
        "1 is the same subspace; chance is above 0."
    ),
    formula=r"\frac1r\sum_{i\le r}\sigma_i\big(Q_X^\top Q_Y\big)",
    source="Raghu, Gilmer, Yosinski and Sohl-Dickstein 2017",
)
PWCCA = replace(
    SVCCA,
    name="pwcca",
    label="PWCCA (legacy: canonical correlations weighted by what they explain of f)",
    short="PWCCA",
    implementation="repdiss_core.measures.pwcca",
    options=(),
    invariant_to=("isotropic_scale", "shift"),
    symmetric=False,
    means=(
        "Canonical correlations weighted by what they explain of the row’s layer; an older measure. "
        "1 is the same subspace; chance is above 0."
    ),
    formula=r"\frac{\sum_i w_i\rho_i}{\sum_i w_i},\quad w_i=\sum_j|h_i\cdot x_j|",
    source="Morcos, Raghu and Bengio 2018",
)
LINEAR_PREDICTIVITY = MeasureSpec(
    name="linear_predictivity",
    label="linear predictivity (share of g’s variance that a ridge map of f explains on unseen text)",
    short="linear predictivity",
    runs=Pass.POOLED,
    implementation="repdiss_core.measures.predictivity_batches",
    stored=MAP,
    reduction=SHARE_EXPLAINED,
    options=(
        _option(
            "fit_batches",
            "Fitting batches",
            20,
            {n: str(n) for n in (5, 10, 20, 50, 100)},
            "Batches that the maps are fitted on; others are scored.",
            "fitted on {choice} batches",
        ),
        _option(
            "ridge",
            "Ridge",
            1e-3,
            {1e-4: ".0001", 1e-3: ".001", 1e-2: ".01", 1e-1: ".1"},
            "λ over the mean eigenvalue.",
            "ridge {choice}",
        ),
    ),
    invariant_to=ROTATIONS,
    symmetric=False,
    range=(-float("inf"), 1.0),
    self_value=1.0,
    self_tolerance=0.05,
    least_tokens=lambda d_f, d_g: d_f + 1,
    cost=lambda n, d_f, d_g: 2.0 * n * (d_f * d_f + d_g * d_g + d_f * d_g),
    self_term="squares",
    for_any_pair=True,
    means=(
        "The share of the column’s variance that a linear map of the row explains on text it was not fitted on. "
        "1 is all; 0 is none."
    ),
    formula=r"1-\frac{\|Y-XW\|^2}{\|Y-\bar Y\|^2}",
    source="ridge regression on held-out text",
)
