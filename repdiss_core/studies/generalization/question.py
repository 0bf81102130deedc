"""Section 4: where do models that generalize part from those that use a heuristic? Figures 2, 7 and 8."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from repdiss_core import hub
from repdiss_core.base.comparison import Comparison, DataId, ModelId, Setting, cka_comparison
from repdiss_core.base.errors import UserError, unknown_name
from repdiss_core.base.layer_pairs import CUTS, SAME
from repdiss_core.bundled import nli as bundled_nli
from repdiss_core.bundled.nli import POPULATIONS as BUNDLED_POPULATIONS
from repdiss_core.bundled.nli import PopulationSpec
from repdiss_core.data import ENTAILMENT, content_id
from repdiss_core.data.entailment import LENGTH as PAPER_LENGTH
from repdiss_core.measures import MEASURES
from repdiss_core.models import model_spec, paper_models
from repdiss_core.studies import cli_options, options

FEATHER = "feather"
PAPER_K = 10
POPULATIONS = BUNDLED_POPULATIONS | {
    FEATHER: PopulationSpec(
        FEATHER,
        options.POPULATION.label_of(FEATHER),
        (),
        False,
        (
            "Fine-tunings of bert-base-uncased on MNLI by McCoy et al. (2020), "
            "ranked by their published accuracy on HANS; fetched from the hub."
        ),
    )
}
DATA, LENGTH = "nli", 32
IN_DISTRIBUTION = "in_distribution"
SET_LABELS = {
    "in_distribution": "in-distribution pairs",
    **options.MEASURED.labels,
    "lexical_overlap_entailed": "entailed lexical-overlap pairs",
}
SEQUENCES = {"tokens": 32, "padded": 32, "cls": 256}
CHUNKS = {"tokens": 7, "padded": 7, "cls": 3}
# 1024 rows a chunk for the paper's models too: two sequences of 512, of which the paper takes about 1000.
PAPER_SEQUENCES = {"tokens": 2, "padded": 2, "cls": 256}
PAPER_CHUNKS = {"tokens": 30, "padded": 500, "cls": 4}
ACCURACY_BATCH = 250


@dataclass(frozen=True)
class PopulationParams:
    """What the page's dropdowns choose.

    Args:
        population: "natural" or "constructed".
        k: models a group.
        rank_by: the set whose accuracy ranks the models.
        overlap: the lexical-overlap set that is measured on, beside the in-distribution set.
        rows: feature rows: "tokens" without padding, "padded" (the paper's way), or "cls".
        hook: "mlp_out" (before the residual addition, the paper's) or "resid_post".
        items: pairs of sentences that stitched models classify.
        n_chunks: chunks of feature rows; None takes 7 of 1024 rows, or 3 of 256 for "cls"; for the paper's models what
            its about 1000 pairs give: 500 padded chunks, 30 of tokens alone, 4 of 256 for "cls".
        pins: what the hub's revisions stand for here (`hub.stamp`): choices that name its models differ where that
            does.

    The paper's models are ranked by the accuracies that were published, which are on the lexical-overlap pairs
    themselves.
    """

    population: str = options.POPULATION.default
    k: int = options.GROUP_SIZE.default
    rank_by: str = options.RANK_BY.default
    overlap: str = options.MEASURED.default
    rows: str = options.ROWS.default
    hook: str = options.HOOK.default
    estimator: str = options.ESTIMATOR.default
    items: int = cli_options.ITEMS.default
    n_chunks: int | None = None
    pins: int = field(default_factory=hub.stamp)

    def __post_init__(self) -> None:
        if self.population == FEATHER:
            object.__setattr__(self, "rank_by", "lexical_overlap")
            object.__setattr__(self, "overlap", "lexical_overlap")
        choices = (
            ("population", self.population, tuple(POPULATIONS)),
            ("ranking set", self.rank_by, options.RANK_BY.values),
            ("lexical-overlap set", self.overlap, options.MEASURED.values),
            ("choice of feature rows", self.rows, options.ROWS.values),
            ("hook", self.hook, options.HOOK.values),
        )
        for kind, value, known in choices:
            if value not in known:
                raise unknown_name(kind, value, known, "python -m repdiss_core run fig2 --help")
        if self.overlap == "lexical_overlap_rank" and self.items > 500:
            raise UserError(f"The ranking set holds 500 pairs; {self.items} were asked for. Ask for at most 500.")

    @property
    def chunks(self) -> int:
        """Chunks of feature rows."""
        return self.n_chunks or (PAPER_CHUNKS if self.population == FEATHER else CHUNKS)[self.rows]

    @property
    def n_batches(self) -> int:
        """The chunks, by the name that every study has for the size of a result."""
        return self.chunks

    @property
    def sets(self) -> tuple[str, str]:
        """The two sets that are shown side by side."""
        return IN_DISTRIBUTION, self.overlap

    @property
    def circular(self) -> bool:
        """Whether models are ranked on the very pairs that they are measured on."""
        return self.rank_by == self.overlap


def models_of(population: str) -> tuple[str, ...]:
    """Names of a population's classifiers that are trained."""
    if population == FEATHER:
        accuracy = paper_models.feather_accuracies("overlap")
        ranked = sorted(accuracy, key=lambda name: (-accuracy[name], name))
        return (*ranked[:PAPER_K], *ranked[-PAPER_K:])
    known = bundled_nli.facts()["models"]
    return tuple(member.name for member in bundled_nli.members(population) if member.name in known)


def accuracies(population: str, set_name: str) -> dict[str, float]:
    """Each model's accuracy on a whole set, from the facts file."""
    if population == FEATHER:
        published = paper_models.feather_accuracies(
            {"in_distribution": "mnli", "lexical_overlap_entailed": "overlap_entailed"}.get(set_name, "overlap")
        )
        return {name: published[name] for name in models_of(population)}
    known = bundled_nli.facts()["models"]
    return {name: float(known[name]["accuracy"][set_name]) for name in models_of(population)}


def group_models(params: PopulationParams) -> tuple[str, ...]:
    """The best k and the worst k by the ranking set; the order in which `analysis.groups.split_groups` has them."""
    accuracy = accuracies(params.population, params.rank_by)
    ranked = sorted(accuracy, key=lambda name: (-accuracy[name], name))
    if not 2 <= params.k <= len(ranked) // 2:
        raise UserError(
            f"Two groups of {params.k} models cannot be taken from a population of {len(ranked)}: "
            f"choose k from 2 to {len(ranked) // 2}, "
            "so that no model is in both."
        )
    return (*ranked[: params.k], *ranked[: -params.k - 1 : -1])


def cka_data(params: PopulationParams, set_name: str) -> DataId:
    """The stream that features are taken from."""
    if params.population == FEATHER:
        return DataId(
            ENTAILMENT,
            f"{set_name}/{params.rows}",
            content_id(ENTAILMENT, set_name),
            PAPER_SEQUENCES[params.rows],
            PAPER_LENGTH,
        )
    return DataId(DATA, f"{set_name}/{params.rows}", content_id(DATA, set_name), SEQUENCES[params.rows], LENGTH)


def cka_pairs(
    params: PopulationParams, set_name: str, models: tuple[str, ...] | None = None
) -> dict[tuple[str, str], Comparison]:
    """{(f, g): comparison} of every unordered pair of the population (or of `models`):
    layer l of f with layer l of g alone.

    Raises:
        UserError: models of different depth.
    """
    names = models or (group_models(params) if params.population == FEATHER else models_of(params.population))
    check_depths(names)
    data = cka_data(params, set_name)
    fields = {
        "layer_pairs": SAME,
        "hook": params.hook,
        "resid_mean": "kept",
        "measure_version": MEASURES["cka"].version,
    }
    ids = {name: ModelId(name, model_spec(name).weights) for name in names}
    settings = (("estimator", params.estimator),)
    return {
        (f, g): cka_comparison(ids[f], ids[g], data, settings=settings, **fields)[0]
        for f, g in itertools.combinations(sorted(names), 2)
    }


def stitched_pairs(
    params: PopulationParams, set_name: str, models: tuple[str, ...]
) -> dict[tuple[str, str], Comparison]:
    """{(bottom f, top g): comparison} of every ordered pair: accuracy after identity stitching at every cut."""
    name, length = (ENTAILMENT, PAPER_LENGTH) if params.population == FEATHER else (DATA, LENGTH)
    data = DataId(name, set_name, content_id(name, set_name), ACCURACY_BATCH, length)
    settings: tuple[tuple[str, Setting], ...] = (("items", params.items), ("scoring", scoring(set_name)))
    ids = {name: ModelId(name, model_spec(name).weights) for name in models}
    version = MEASURES["stitched_accuracy"].version
    return {
        (f, g): Comparison(
            "stitched_accuracy",
            ids[f],
            ids[g],
            data,
            CUTS,
            resid_mean="kept",
            measure_version=version,
            settings=settings,
        )
        for f, g in itertools.permutations(models, 2)
    }


def scoring(set_name: str) -> str:
    """How answers count: three labels in distribution; entailment or not on overlap pairs, as HANS does."""
    return "exact" if set_name == IN_DISTRIBUTION else "entailment_or_not"


def check_depths(names: tuple[str, ...]) -> None:
    """Raise a `UserError` unless all models have one depth."""
    depths = {model_spec(name).n_layers: name for name in names}
    if len(depths) > 1:
        told = " and ".join(f"{name} has {n}" for n, name in sorted(depths.items()))
        raise UserError(
            f"The distance of equation (2) pairs layer l with layer l, but {told} layers. Choose models of one depth."
        )


def one_or_first(params: PopulationParams | None) -> tuple[PopulationParams, ...]:
    """What the figures take for one choice of parameters; None takes the bundled models."""
    return (params or PopulationParams(),)
