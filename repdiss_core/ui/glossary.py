"""The terms of the pages: what each means, its formula in LaTeX, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from repdiss_core.measures import MEASURES

PAPER = "Brown et al. 2023 (arXiv 2310.14993)"


@dataclass(frozen=True)
class Term:
    """A term.

    Args:
        name: as headings write it.
        means: one or two sentences.
        formula: LaTeX without dollar signs; "" for none.
        source: where it is defined.
        pattern: regular expression for where a text uses it.
    """

    name: str
    means: str
    formula: str
    source: str
    pattern: str


TERMS = (
    Term(
        "CKA",
        (
            "Centred kernel alignment: how alike two layers’ features are over the same tokens. "
            "1 is the same up to rotation and scale; 0 is unrelated."
        ),
        (
            r"\mathrm{CKA}(X,Y)=\frac{\mathrm{HSIC}_1(K,L)}{\sqrt{\mathrm{HSIC}_1(K,K)\,\mathrm{HSIC}_1(L,L)}},\quad "
            r"K=XX^\top,\ L=YY^\top"
        ),
        f"Kornblith et al. 2019; {PAPER}, section 2, with the square root that the print leaves out",
        r"\bCKA\b",
    ),
    Term(
        "Chance level",
        (
            "What a measure reaches where the second model reads another text: the 95 % quantile of its mean over "
            "random pairings of batches within windows. Some pairings leave batches matched, so that the level is "
            "an upper bound, lower over more batches."
        ),
        r"s_{\text{corrected}}=\max\Big(0,\frac{s-\tau}{1-\tau}\Big)",
        "permutation test; false discovery rate after Benjamini and Hochberg 1995",
        r"[Cc]hance level|[Cc]hance-corrected|above chance",
    ),
    Term(
        "HSIC₁",
        (
            "The Hilbert–Schmidt independence criterion without bias: on average 0 for unrelated features, "
            "so single values may be negative. The tilde sets diagonals to 0."
        ),
        (
            r"\mathrm{HSIC}_1(K,L)=\tfrac{1}{n(n-3)}\Big[\mathrm{tr}(\tilde K\tilde L)+\tfrac{\mathbf 1^\top\tilde "
            r"K\mathbf 1\;\mathbf 1^\top\tilde L\mathbf 1}{(n-1)(n-2)}-\tfrac{2}{n-2}\mathbf 1^\top\tilde K\tilde "
            r"L\mathbf 1\Big]"
        ),
        "Song et al. 2012; Nguyen et al. 2021",
        r"\bHSIC|\bCKA\b|unbias",
    ),
    Term(
        "unbiased, biased, sequence-aware",
        "Unbiased CKA uses HSIC₁. "
        "Biased CKA centres the Gram matrices with H = I − 11ᵀ/n and grows with the number of features. "
        "Sequence-aware compares tokens of four different sequences only, "
        "since tokens of one sequence are not independent.",
        (
            r"\mathrm{HSIC}_0(K,L)=\frac{\mathrm{tr}(KHLH)}{(n-1)^2},\qquad "
            r"\mathrm{HSIC}_{\mathrm{seq}}=\mathrm{mean}\,K_{ij}(L_{ij}+L_{qr}-2L_{iq})\ \text{over}\ i,j,q,r\ "
            r"\text{of four sequences}"
        ),
        "Gretton et al. 2005; Song et al. 2012; sequence-aware is ours",
        r"[Uu]nbiased|without bias|\bbiased|sequence-aware",
    ),
    Term(
        "mean of ratios, ratio of means",
        "Two ways from batches to one CKA: average each batch’s CKA (the paper’s), or divide averaged HSIC values.",
        (
            r"\frac1B\sum_b\frac{h_b}{\sqrt{k_b\,l_b}}\qquad\text{or}\qquad\frac{\sum_b h_b}{\sqrt{\sum_b "
            r"k_b\,\sum_b l_b}}"
        ),
        f"{PAPER}; Nguyen et al. 2021",
        r"mean of ratios|ratio of means",
    ),
    Term(
        "distance of two models",
        "The angles whose cosines are the layers’ CKA, put together over layers; in radians.",
        r"d(f,g)=\sqrt{\textstyle\sum_l\arccos^2\mathrm{CKA}(f_l,g_l)}",
        f"{PAPER}, equation (2)",
        r"[Dd]istance|equation \(2\)",
    ),
    Term(
        "stitching, φ",
        (
            "Model f runs up to layer l, a layer φ translates, and model g runs from layer m on. "
            "φ is trained while f and g stay as they are; in identity stitching it is the identity."
        ),
        r"S(f,g)=g_{>m}\circ\varphi\circ f_{\le l},\qquad \varphi(x)=W\,\mathrm{LN}(x)+b",
        f"Lenc and Vedaldi 2015; Bansal et al. 2021; {PAPER}, appendix C.1",
        r"[Ss]titch|\bphi\b",
    ),
    Term(
        "stitching penalty",
        (
            "What the stitch costs: its loss less that of its top model alone. For classifiers, "
            "the top model’s accuracy less that of the stitch."
        ),
        r"\mathrm{penalty}(f,g)=\mathcal L\big(S(f,g)\big)-\mathcal L(g)",
        f"{PAPER}, equation (1)",
        r"[Pp]enalty|costs? more",
    ),
    Term(
        "resid_post",
        (
            "The residual stream after a block: its input plus what attention and MLP add. "
            "Here the features of a layer, one row a token."
        ),
        r"h^{(l)}=h^{(l-1)}+\mathrm{attn}_l\big(\cdot\big)+\mathrm{mlp}_l\big(\cdot\big)",
        "Elhage et al. 2021; TransformerLens calls it blocks.l.hook_resid_post",
        r"resid_post|residual stream",
    ),
    Term(
        "95 % interval",
        (
            "How far the number may be off. Over batches: value ± t times the jackknife error, "
            "which leaves out one batch at a time. Over models: the same, leaving out whole models, "
            "since pairs share them."
        ),
        r"\hat\theta\pm t_{B-1}\sqrt{\tfrac{B-1}{B}\textstyle\sum_b(\hat\theta_{(b)}-\hat\theta_{(\cdot)})^2}",
        "Tukey 1958; Efron and Stein 1981",
        r"interval|\[[-−+\d.]+, [-−+\d.]+\]",
    ),
    Term(
        "permutation test",
        (
            "How often models that are dealt into two groups at random part as far as the real groups do. "
            "Models are dealt, not pairs."
        ),
        r"p=\frac{1+\#\{\text{random splits with an effect at least as large}\}}{1+\#\{\text{splits}\}}",
        "Fisher 1935; Westfall and Young 1993 for the correction over layers",
        r"[Pp]ermut|\bp [.\d]",
    ),
    Term(
        "blocks",
        "Runs of neighbouring layers that are more alike than layers that lie equally far apart are on average.",
        "",
        "Nguyen et al. 2021 for the phenomenon; the segmentation is ours",
        r"\bblocks? (of|are|structure)|segment",
    ),
)


def terms_in(texts: Iterable[str]) -> tuple[Term, ...]:
    """The terms that some of these texts use, in the glossary's order; those that measures declare come first."""
    everything = "\n".join(texts)
    return tuple(term for term in (*measure_terms(), *TERMS) if re.search(term.pattern, everything))


def measure_terms() -> tuple[Term, ...]:
    """The measures that declare a formula, as terms."""
    return tuple(
        Term(spec.short, spec.means, spec.formula, spec.source, rf"\b{re.escape(spec.short)}\b")
        for spec in MEASURES.values()
        if spec.formula
    )
