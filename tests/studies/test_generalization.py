"""The study of section 4: how many pairs, which comparisons, and what is refused."""

from __future__ import annotations

import pytest

from repdiss_core.analysis.groups import split_groups
from repdiss_core.base.errors import UserError
from repdiss_core.bundled.nli import POPULATIONS
from repdiss_core.models import model_spec
from repdiss_core.studies.generalization import question
from repdiss_core.studies.generalization.question import PopulationParams
from repdiss_core.studies.panels import request_for
from repdiss_core.studies.paper import figures_request


@pytest.mark.parametrize(("k", "pairs"), [(2, 6), (6, 66), (10, 190)])
def test_the_two_groups_have_as_many_pairs_as_the_paper_counts(k, pairs) -> None:
    params = PopulationParams(k=k)
    models = question.group_models(params)
    assert len(set(models)) == 2 * k
    assert split_groups(question.accuracies("natural", params.rank_by), k).n_pairs == pairs
    chosen = question.cka_pairs(params, "in_distribution", models)
    assert len({frozenset(pair) for pair in chosen}) == len({c.key for c in chosen.values()}) == pairs
    assert len({c.key for c in question.stitched_pairs(params, "in_distribution", models).values()}) == 2 * pairs


@pytest.mark.parametrize(("population", "models", "pairs"), [("natural", 24, 276), ("constructed", 16, 120)])
def test_cka_is_asked_for_all_pairs_of_a_population(population, models, pairs) -> None:
    names = question.models_of(population)
    assert len(names) == models == sum(n for _, n, *_ in POPULATIONS[population].groups)
    found = [question.cka_pairs(PopulationParams(population), name) for name in PopulationParams().sets]
    assert [len(f) for f in found] == [pairs, pairs]
    assert len({c.key for f in found for c in f.values()}) == 2 * pairs


@pytest.mark.parametrize("population", list(POPULATIONS))
def test_groups_are_the_best_and_the_worst_on_the_ranking_set(population) -> None:
    params = PopulationParams(population, k=4)
    accuracy = question.accuracies(population, params.rank_by)
    models = question.group_models(params)
    assert models == split_groups(accuracy, 4).models
    between = set(accuracy) - set(models)
    assert min(accuracy[m] for m in models[:4]) >= max(accuracy[m] for m in between)
    assert max(accuracy[m] for m in models[4:]) <= min(accuracy[m] for m in between)


def test_the_constructed_groups_are_told_apart_by_the_ranking_set() -> None:
    models = question.group_models(PopulationParams("constructed", k=8))
    assert {m[:8] for m in models[:8]} == {"nli-15pc"}
    assert {m[:8] for m in models[8:]} == {"nli-0pct"}


def test_every_choice_of_features_is_another_comparison() -> None:
    choices = [
        PopulationParams(),
        PopulationParams(rows="padded"),
        PopulationParams(rows="cls"),
        PopulationParams(hook="resid_post"),
        PopulationParams(estimator="biased"),
    ]
    keys = {next(iter(question.cka_pairs(p, "lexical_overlap").values())).key for p in choices}
    assert len(keys) == len(choices)


@pytest.mark.parametrize("params", [PopulationParams(), PopulationParams("constructed", k=4, rows="cls")])
def test_the_command_line_asks_for_what_the_page_asks_for(params) -> None:
    models = question.group_models(params)
    cka = [c for name in params.sets for c in question.cka_pairs(params, name).values()]
    stitched = [c for name in params.sets for c in question.stitched_pairs(params, name, models).values()]
    page = request_for(cka + stitched, params.chunks)
    command = figures_request(("fig2", "fig7", "fig8"), params)
    assert {c.key for c in command.comparisons} == {c.key for c in page.comparisons}
    assert command.n_batches == page.n_batches


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"population": "wild"}, "no population named 'wild'"),
        ({"rank_by": "in_distribution"}, "no ranking set named 'in_distribution'"),
        ({"overlap": "lexical_overlp"}, "no lexical-overlap set named 'lexical_overlp'. Did you mean lexical_overlap"),
        ({"rows": "words"}, "no choice of feature rows named 'words'"),
        ({"hook": "attn_out"}, "no hook named 'attn_out'"),
        ({"overlap": "lexical_overlap_rank", "items": 501}, "The ranking set holds 500 pairs; 501 were asked for"),
    ],
)
def test_unknown_choices_are_told_in_a_sentence(choice, said) -> None:
    with pytest.raises(UserError, match=said):
        PopulationParams(**choice)


@pytest.mark.parametrize(("population", "k", "most"), [("natural", 13, 12), ("constructed", 9, 8), ("natural", 1, 12)])
def test_groups_that_do_not_fit_are_refused(population, k, most) -> None:
    with pytest.raises(UserError, match=rf"Two groups of {k} models cannot be taken .*choose k from 2 to {most}"):
        question.group_models(PopulationParams(population, k=k))


def test_models_of_different_depth_have_no_distance() -> None:
    short = next(iter(question.models_of("natural")))
    assert model_spec(short).n_layers == 6
    with pytest.raises(
        UserError, match=r"equation \(2\) pairs layer l with layer l, but mini-gelu-3l-s0 has 3 and .* has 6 layers"
    ):
        question.cka_pairs(PopulationParams(), "in_distribution", (short, "mini-gelu-3l-s0"))
