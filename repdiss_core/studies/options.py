"""Every option of the pages, declared once: pickers, addresses, pasted links, exports and flags read it here.

To reword an option change its label; to rename a choice add its id to `old_labels`. Which page has which: `OPTIONS`.
"""

from __future__ import annotations

from repdiss_core.base.option import Choice, Number, Option, choices_of
from repdiss_core.bundled.nli import POPULATIONS
from repdiss_core.measures import MEASURES
from repdiss_core.measures.massive import MULTIPLE
from repdiss_core.studies.measure_options import CHANCE, own_options, pair_measures
from repdiss_core.studies.presets import STITCH_PRESETS

TYPED_DATA = ("hub:", "path:")
TYPED_MODELS = (*TYPED_DATA, "pypi:", "pythia-", "gelu-", "solu-", "random:")
ONLY_TESTS = "tiny"  # a preset that no page offers
NO_MODEL = "none"
LIKE_A = "same"

# How CKA is read
ESTIMATOR: Option = MEASURES["cka"].options[0]
REDUCTION = Option(
    "reduction",
    "Over batches",
    choices_of({"mean_of_ratios": "mean of ratios", "ratio_of_means": "ratio of means"}),
    help="Mean of ratios is the paper’s; ratio of means is that of Nguyen et al. (2021).",
    old_labels={"mean of ratios": "mean_of_ratios", "ratio of means": "ratio_of_means"},
)
FLATTEN = Option(
    "flatten",
    "Rows of the feature matrix",
    choices_of({"token": "tokens as rows", "sample": "sequences as rows"}),
    help="Tokens are the paper’s; its footnote 6 leaves sequences open.",
    old_labels={"tokens as rows": "token", "sequences as rows": "sample"},
)
RESID_MEAN = Option(
    "mean",
    "Mean over d_model",
    choices_of({"removed": "mean removed", "kept": "mean kept"}),
    help="Whether each token’s mean over features is removed, as the paper’s library did.",
    flag="resid-mean",
    old_labels={"mean removed": "removed", "mean kept": "kept"},
)
BATCHES = Number(
    "batches",
    "Batches",
    tuple(Choice(str(n), str(n), n) for n in (10, 20, 50, 100, 200, 1000)),
    100,
    "More batches extend a result that is there already.",
    flag_help="Batches of a CKA map; evaluation batches of a stitch.",
)
MASSIVE = Option(
    "massive",
    "Massive tokens",
    choices_of({"kept": "massive tokens kept", "dropped": "without massive tokens", "normalised": "rows of length 1"}),
    help=(
        f"Tokens longer than {MULTIPLE:g} times the median of a layer. "
        "Two of them that two models share can drive CKA to 1 alone."
    ),
    flag_help="Massive tokens, or rows of length 1.",
    old_labels={"massive tokens kept": "kept", "without massive tokens": "dropped", "rows of length 1": "normalised"},
)
EMBEDDING = Option(
    "embedding", "First layer", choices_of({"left": "1, after the first block", "shown": "0, after the embedding"}),
    help="Layer 0 is what the first block reads: the embedding of each token, and of its position where one is added.",
)  # fmt: skip
SPECIAL = Option(
    "special", "Special tokens of encoders", choices_of({"left": "no rows", "kept": "rows like other tokens"}),
    help="An encoder reads [CLS] before and [SEP] after each sequence. They are no rows of the features unless kept.",
)  # fmt: skip
# How maps and curves are drawn
RANGE = Option(
    "range",
    "Range of the colours",
    choices_of({"unit": "0 to 1", "values": "range of the values"}),
    help="0 to 1 lets maps be compared; the range of a row’s values shows small differences.",
    old_labels={"0 to 1": "unit", "range of the values": "values"},
)
NUMBERS = Option(
    "numbers", "Numbers in the cells", choices_of({"shown": "shown", "hidden": "hidden"}),
    help="They are left out where cells are small.",
)  # fmt: skip
AXES = Option(
    "axes",
    "Axes",
    choices_of({"layers": "layers", "relative": "relative depth"}),
    help="Relative depth lets models of different depth be laid over each other.",
    flag_help="Figures 3, 9, 10: layers, or fraction of the depth.",
    old_labels={"relative depth": "relative"},
)
STEPS = Option("steps", "Steps in the learning curves", choices_of({"linear": "linear", "logarithmic": "logarithmic"}))

# Stitching
STITCH = Option(
    "stitch",
    "Training of the stitching layer",
    tuple(Choice(name, preset.label) for name, preset in STITCH_PRESETS.items() if name != ONLY_TESTS),
    "quick",
    "How phi starts and how long it is trained.",
    flag_help=f"Stitching preset: {', '.join(list(STITCH_PRESETS)[:-1])} or {list(STITCH_PRESETS)[-1]}.",
    old_labels={
        "quick: least-squares start, 300 steps, lr 0.1": "quick",
        "reference: identity start, 2000 steps, lr 1.0": "reference",
        "reference: identity start, 2000 steps, lr 0.1": "reference-lr0.1",
    },
)
SHOW = Option("show", "Show", choices_of({"loss": "loss", "penalty": "penalty"}), flag="quantity")

# Activation asymmetry
SETTING = Option(
    "models",
    "Models and data",
    (
        Choice("bundled", "ours, on docstrings"),
        Choice("paper-quick", "the paper’s, quick look"),
        Choice("paper", "the paper’s, its settings"),
    ),
    old_labels={
        "ours, on docstrings": "bundled",
        "the paper’s, quick look": "paper-quick",
        "the paper’s, its settings": "paper",
    },
)
DEPTH = Option(
    "depth",
    "Depth",
    (Choice("both", "3 and 4 layers", (3, 4)), Choice("3", "3 layers", (3,)), Choice("4", "4 layers", (4,))),
    old_labels={"3 and 4 layers": "both", "3 layers": "3", "4 layers": "4"},
)
_SEEDS_OF_OLD = {f"seed {n}": str(n) for n in range(10)}
SEED_GELU = Number("gelu", "GeLU model", default=0, flag="seed-gelu", old_labels=_SEEDS_OF_OLD, low=0)
SEED_SOLU = Number("solu", "SoLU model", default=0, flag="seed-solu", old_labels=_SEEDS_OF_OLD, low=0)
CLAIMS = Option(
    "claims",
    "Claims",
    (Choice("3", "3-layer models", 3), Choice("4", "4-layer models", 4)),
    old_labels={"3-layer models": "3", "4-layer models": "4"},
)

# Generalization
POPULATION = Option(
    "population",
    "Population",
    choices_of(
        {name: spec.label for name, spec in POPULATIONS.items()}
        | {"feather": "the paper's: 10 best and 10 worst of 100 BERTs"}
    ),
    flag_help="Figures 2, 7, 8: natural, constructed, or the paper's.",
    old_labels={
        "24 fine-tunings, natural variability": "natural",
        "8 + 8, constructed control": "constructed",
        "the paper's: 10 best and 10 worst of 100 BERTs": "feather",
    },
)
GROUP_SIZE = Number("k", "Models a group", default=6, flag_help="Figures 2, 7, 8: models a group.", low=2)
SHOW_ACCURACY = Option(
    "show",
    "Show",
    choices_of({"accuracy": "accuracy", "penalty": "penalty"}),
    help="The penalty is the top model’s own accuracy minus that of the stitch.",
)
_OLD_OVERLAP = {
    "lexical-overlap pairs, ranking set": "lexical_overlap_rank",
    "lexical-overlap pairs, measuring set": "lexical_overlap",
}
_OVERLAP = (
    Choice("lexical_overlap_rank", "lexical-overlap pairs, ranking set"),
    Choice("lexical_overlap", "lexical-overlap pairs, measuring set"),
)
RANK_BY = Option(
    "rank",
    "Rank the models by",
    _OVERLAP,
    help="Whose accuracy makes a model “generalizing” or “heuristic”.",
    flag="rank-by",
    old_labels=_OLD_OVERLAP,
)
MEASURED = Option(
    "measured",
    "Measure on, beside in-distribution pairs",
    _OVERLAP[::-1],
    help="Measuring on the pairs that rank the models is circular.",
    flag="overlap",
    flag_help="The overlap set measured on.",
    old_labels=_OLD_OVERLAP,
)
ROWS = Option(
    "rows",
    "Rows of the feature matrix",
    choices_of(
        {"tokens": "tokens, without padding", "padded": "all positions, padding included", "cls": "[CLS] alone"}
    ),
    help="The paper pads and counts padding as rows, which raises CKA.",
    flag_help="Rows of the feature matrix: tokens, or the paper's padded.",
    old_labels={"tokens, without padding": "tokens", "all positions, padding included": "padded", "[CLS] alone": "cls"},
)
HOOK = Option(
    "hook",
    "Features",
    choices_of({"mlp_out": "before the residual addition", "resid_post": "after the residual addition"}),
    help="The paper takes each block’s output before the residual addition.",
    old_labels={"before the residual addition": "mlp_out", "after the residual addition": "resid_post"},
)
MODEL_A = Option("model_a", "First model", (Choice(NO_MODEL, "none chosen"),), old_labels={"none chosen": NO_MODEL})
MODEL_B = Option("model_b", "Second model", (Choice(NO_MODEL, "none chosen"),), old_labels={"none chosen": NO_MODEL})
MAPS = Option(
    "maps", "Maps", old_labels={"The map of distances and its tree": "map", "The models in the plane": "points"}
)

# Scaling families
FAMILY = Option(
    "family",
    "Family",
    choices_of(
        {"mini-neox": "mini-neox: 6 shapes, 2 to 8 layers", "pythia": "Pythia, deduplicated: the paper's 7 models"}
    ),
    flag_help="Figures 3, 9, 10, Table 1: mini-neox or pythia (default: that of the models).",
    old_labels={
        "mini-neox: 6 shapes, 2 to 8 layers": "mini-neox",
        "Pythia, deduplicated: the paper's 7 models": "pythia",
    },
)
_OLD_MEMBERS = {
    f"{shape}-s{seed}": f"mini-neox-{shape}-s{seed}"
    for shape in ("2l64-h32", "3l96-h32", "4l128-h32", "4l128-h8", "6l160-h32", "8l192-h32")
    for seed in range(3)
}
MEMBER_F = Option("f", "Model f (rows)", old_labels=_OLD_MEMBERS)
MEMBER_G = Option("g", "Model g (columns)", old_labels=_OLD_MEMBERS)
WHOLE = Option(
    "whole", "Show", choices_of({"models": "models", "layers": "all layers"}), old_labels={"all layers": "layers"}
)

# Compare models
MODEL_F = Option(
    "f",
    "Model f (rows, bottom of a stitch)",
    help=(
        "Beside these: "
        "a step of a training (pythia-1b-deduped@step1000), any model of a supported architecture "
        "(hub:org/name@revision), a folder (path:…)."
    ),
    typed=TYPED_MODELS,
)
MODEL_G = Option("g", "Model g (columns, top of a stitch)", typed=TYPED_MODELS)
DATA = Option(
    "data",
    "Data",
    default="docstrings",
    help="Or type hub:org/name:column, or path:file. Of a plain text the first 80 % are measured on.",
    flag_help="NAME or NAME/SPLIT (default: docstrings; pile-10k for other models, where it is on this machine).",
    typed=TYPED_DATA,
)
PAIR_ROWS = Option(
    "rows",
    "Compare at",
    choices_of({"auto": "tokens, or else words", "token": "tokens", "word": "words", "unicode_word": "Unicode words"})
    + choices_of({"text": "texts, the mean of their tokens", "text_last": "texts, their last token"}),
    help="Words, runs without white space, are taken where two tokenizers cut it differently. Texts: 256 a batch.",
)
MEASURE = Option(
    "measure", "Measure", default="cka", source=pair_measures,
    old_labels={"CKA": "cka", "identity stitching": "identity_stitching"},
)  # fmt: skip
LAYERS = Option(
    "layers",
    "Layers",
    choices_of({"every": "every pair", "same": "each with its own number"}),
    old_labels={"every pair": "every", "each with its own number": "same"},
)
MODE = Option(
    "mode",
    "Show",
    choices_of({"one": "one result", "difference": "difference B − A"}),
    old_labels={"one result": "one", "difference B − A": "difference"},
)
MODEL_F_OF_B = Option("b_f", "Model f of B", typed=TYPED_MODELS)
MODEL_G_OF_B = Option("b_g", "Model g of B", typed=TYPED_MODELS)
ESTIMATOR_OF_B = Option(
    "b_estimator",
    "Estimator of B",
    (Choice(LIKE_A, "as in A"), *ESTIMATOR.choices),
    old_labels={"as in A": LIKE_A, **ESTIMATOR.old_labels},
)
LINK_OF_A = Option("a_link", "Or a link of this page as A", default="", help="empty: the lists above")
LINK_OF_B = Option("b_link", "Or a link of this page as B", default="", help="empty: the lists of B")

# The panel of a chosen cell, a card each, and the tour
ABOUT = Option(
    "about",
    "Show",
    choices_of({"rests": "what it rests on", "tokens": "which tokens differ"}),
    old_labels={"what it rests on": "rests", "which tokens differ": "tokens"},
)
TOKEN_BATCH = Number("batch", "Batch", default=1)
TOUR = Option(
    "tour",
    "Tour",
    choices_of({"paper": "the paper’s studies", "own": "my tour"}),
    old_labels={"the paper’s studies": "paper", "my tour": "own"},
)

CKA = (ESTIMATOR, REDUCTION, FLATTEN, RESID_MEAN, BATCHES, MASSIVE)
_DRAWN = (RANGE, NUMBERS, AXES)
OPTIONS: dict[str, tuple[Option, ...]] = {
    "asymmetry": (SETTING, DEPTH, SEED_GELU, SEED_SOLU, SHOW, *CKA, *_DRAWN, STITCH, STEPS, CLAIMS),
    "generalization": (
        *(POPULATION, GROUP_SIZE, SHOW_ACCURACY, RANK_BY, MEASURED, ROWS, HOOK),
        *(MODEL_A, MODEL_B, MAPS),
    ),
    "scaling": (FAMILY, MEMBER_F, MEMBER_G, WHOLE, *CKA, *_DRAWN),
    "pair": (
        *(MODEL_F, MODEL_G, DATA, MEASURE, PAIR_ROWS, LAYERS, SHOW, *CKA, CHANCE, EMBEDDING, SPECIAL, *_DRAWN),
        *(o for spec in MEASURES.values() if spec.of_features and spec.name != "cka" for o in own_options(spec)),
        *(STITCH, STEPS, MODE, MODEL_F_OF_B, MODEL_G_OF_B, ESTIMATOR_OF_B, LINK_OF_A, LINK_OF_B),
    ),
    "cell": (ABOUT, TOKEN_BATCH),
    "tour": (TOUR,),
}
