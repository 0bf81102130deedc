"""Options declared once: what addresses held before they held ids still opens, whatever is on the page; the command
line takes the same ids."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from shown import opened

from repdiss_core.base.errors import UserError
from repdiss_core.base.option import Choice, Number, Option
from repdiss_core.cli.flags import flag
from repdiss_core.measures import MEASURES
from repdiss_core.studies import options
from repdiss_core.studies.cli_options import COMMAND_LINE, GPUS
from repdiss_core.studies.measure_options import of_measure, own_options
from repdiss_core.studies.tour import STEPS
from repdiss_core.ui.cards import asymmetry_cards, generalization_cards, pair_cards, scaling_cards
from repdiss_core.ui.cards.model_strip import pair_options
from repdiss_core.ui.cards.pair_link import choice_of
from repdiss_core.ui.views import View, cards_of

ASYMMETRY, GENERALIZATION, SCALING, COMPARE, TOUR = (
    *("pages/1_Activation_asymmetry.py", "pages/2_Generalization.py", "pages/3_Scaling_families.py"),
    *("pages/4_Compare_models.py", "pages/6_Tour.py"),
)
OPTIONS_OF = {
    ASYMMETRY: (*options.OPTIONS["asymmetry"], *options.OPTIONS["cell"]),
    GENERALIZATION: options.OPTIONS["generalization"],
    SCALING: (*options.OPTIONS["scaling"], *options.OPTIONS["cell"]),
    COMPARE: (*options.OPTIONS["pair"], *options.OPTIONS["cell"]),
    TOUR: options.OPTIONS["tour"],
}
OLD = json.loads(Path(__file__).with_name("old_links.json").read_text("utf-8"))
EVERY = [option for group in (*options.OPTIONS.values(), COMMAND_LINE) for option in group]


def in_context(path: str) -> dict[str, Option]:
    """A page's options by name, those filled whose choices depend on what else is chosen."""
    by_id = {option.id: option for option in OPTIONS_OF[path]}
    if path == ASYMMETRY:
        for option, activation in ((options.SEED_GELU, "gelu"), (options.SEED_SOLU, "solu")):
            by_id[option.id] = asymmetry_cards.seed_option(option, activation, (3,), "bundled")
    if path == GENERALIZATION:
        filled = [pair_options(name) for name in options.POPULATION.values]
        for first in zip(*filled, strict=True):
            values = list(dict.fromkeys(value for option in first for value in option.values))
            by_id[first[0].id] = first[0].offering(values)
        by_id["maps"] = options.MAPS.offering(("map", "points"))
        by_id["k"] = generalization_cards.group_sizes("natural")
    if path == SCALING:
        by_id |= {o.id: o for o in scaling_cards.member_options("mini-neox")}
        by_id["f"] = by_id["f"].offering([*by_id["f"].values, *scaling_cards.member_options("pythia")[0].values])
        by_id["g"] = by_id["g"].offering([*by_id["g"].values, *scaling_cards.member_options("pythia")[1].values])
    if path == COMPARE:
        f, g = pair_cards.model_options()
        by_id |= {"f": f, "g": g, "data": options.DATA.offering(("docstrings", "pile-10k", "pile-val"))}
        by_id |= {o.id: o.offering(f.values) for o in (options.MODEL_F_OF_B, options.MODEL_G_OF_B)}
    return by_id


def renamed(option: Option) -> Option:
    """The option with other words throughout."""
    choices = tuple(Choice(c.id, f"better words for {c.id}", c.value) for c in option.offers)
    return replace(option, label=f"Anew: {option.label}", choices=choices, source=None)


@pytest.fixture
def other_words(monkeypatch):
    """Every label of every option has been reworded, those of models, seeds and data too."""
    offering = Option.offering
    monkeypatch.setattr(Option, "offering", lambda *given, **named: renamed(offering(*given, **named)))
    for name, value in list(vars(options).items()):
        if isinstance(value, Option):
            monkeypatch.setattr(options, name, renamed(value))


LATER = {"real-models"}  # figures that pages have had since the links were recorded


def seen(path: str, query: dict[str, str]) -> Any:
    """What a view shows: figures, what they rest on, and how they are drawn; or the sentence on why it cannot."""
    try:
        cards = cards_of(View.of(path, query))
        return [(card.card_id, card.job_id, card.shows) for card in cards if card.card_id not in LATER]
    except UserError as error:
        return str(error)


def short(shown: Any) -> str:
    """As `old_links.json` holds it: a digest of the figures and of the computations that they rest on."""
    if isinstance(shown, str):
        return f"error: UserError: {shown}"[: len("error: UserError: ") + 200]
    return hashlib.sha256("\n".join(sorted(f"{card} {job}" for card, job, _ in shown)).encode()).hexdigest()[:16]


def in_ids(path: str, query: dict[str, str]) -> dict[str, str]:
    """The query as addresses hold it now."""
    by_id = in_context(path)
    known = {k: by_id[k] for k, text in query.items() if k in by_id and by_id[k].accepts(text)}
    return query | {name: option.format(option.parse(query[name])) for name, option in known.items()}


@pytest.mark.parametrize("path", OLD["labels"])
def test_every_label_of_earlier_addresses_means_its_choice(path) -> None:
    by_id = in_context(path)
    for name, table in OLD["labels"][path].items():
        for label, meant in table.items():
            assert by_id[name].format(by_id[name].parse(label)) == meant
    without_labels = {"a_link", "b_link", "batch"}  # free text, and a number between those of the data
    without_labels |= {"rows"} if path.endswith("Compare_models.py") else set()  # later
    without_labels |= {o.id for spec in MEASURES.values() for o in own_options(spec) if spec.name != "cka"}  # later
    without_labels.add("chance")
    without_labels |= {"embedding", "special"}  # later too
    assert set(by_id) - set(OLD["labels"][path]) <= without_labels, "each option's earlier labels are on record"


@pytest.mark.parametrize("path", OLD["labels"])
def test_a_renamed_label_breaks_no_option(path, other_words) -> None:
    by_id = {name: renamed(option) for name, option in in_context(path).items()}
    for name, table in OLD["labels"][path].items():
        for label, meant in table.items():
            assert by_id[name].format(by_id[name].parse(label)) == meant
            assert by_id[name].label_of(by_id[name].parse(label)) == f"better words for {meant}"


@pytest.mark.usefixtures("fresh_store")
@pytest.mark.parametrize("path", [ASYMMETRY, GENERALIZATION, SCALING, COMPARE])
def test_old_links_open_the_views_that_they_opened(path, request) -> None:
    """Under other words on the page, as ids, and by the figures that were recorded when addresses held labels."""
    links = [(query, digest) for page, query, digest in OLD["links"] if page == path]
    now = [seen(path, in_ids(path, query)) for query, _ in links]
    assert [seen(path, query) for query, _ in links] == now
    assert [short(shown) for shown in now] == [digest for _, digest in links]
    request.getfixturevalue("other_words")
    for (query, digest), before in zip(links, now, strict=True):
        after = seen(path, query)
        assert short(after) == digest and (isinstance(after, str) or after == before), query


def test_pasted_links_with_labels_and_with_ids_say_the_same(other_words) -> None:
    old = choice_of("Compare_models?estimator=sequence-aware&mean=mean+kept&massive=rows+of+length+1&batches=50")
    new = choice_of("Compare_models?estimator=sequence_aware&mean=kept&massive=normalised&batches=50")
    assert old == new and (old.view.massive, old.view.n_batches) == ("normalised", 50)
    assert choice_of("Compare_models?measure=identity+stitching").measure == "identity_stitching"


def test_the_tour_and_the_findings_hold_ids() -> None:
    from repdiss_core.studies.findings import model_sets

    queries = [(step.page, dict(step.query)) for step in STEPS]
    queries += [
        (one.page, one.choices) for study in ("asymmetry", "generalization", "scaling") for one in model_sets(study)
    ]
    for path, query in queries:
        assert in_ids(path, query) == query and set(query) <= set(in_context(path))


@pytest.mark.usefixtures("fresh_store")
def test_a_page_that_an_old_link_opened_has_an_address_of_ids() -> None:
    query = {
        "depth": "3 layers",
        "gelu": "seed 1",
        "estimator": "sequence-aware",
        "range": "range of the values",
        "show": "loss",
    }
    test = opened(ASYMMETRY, **query, claims="3-layer models", stitch="no such")
    assert [error.message for error in test.exception] == []
    assert test.query_params == {"depth": "3", "gelu": "1", "estimator": "sequence_aware", "range": "values"}
    assert "training of the stitching layer “no such”" in test.info[0].value
    test.selectbox(key="estimator").select("biased").run()
    test.selectbox(key="depth").select((3, 4)).run()
    assert test.query_params["estimator"] == "biased" and "depth" not in test.query_params
    assert not test.info


def test_a_page_goes_back_to_what_it_showed_when_its_link_is_opened_again() -> None:
    test = opened(COMPARE, measure="stitching", show="penalty", layers="every pair")
    assert test.query_params == {"measure": "stitching", "show": "penalty", "layers": "every"}
    again = opened(COMPARE, **test.query_params)
    for key in ("measure", "layers"):
        assert again.selectbox(key=key).value == test.selectbox(key=key).value
    assert again.button_group(key="show").value == test.button_group(key="show").value


@pytest.mark.parametrize("option", EVERY, ids=lambda option: option.id)
def test_what_an_option_writes_it_reads(option) -> None:
    assert re.fullmatch(r"[a-z][a-z_-]*", option.id) and option.label
    assert len(set(option.ids)) == len(option.ids) and len(set(option.labels.values())) == len(option.ids)
    for choice in option.offers:
        assert option.parse(option.format(choice.value)) == choice.value
        assert re.fullmatch(r"[\w.-]+", choice.id), "an id stands in addresses without being escaped"
    for label, meant in option.old_labels.items():
        assert meant in option.ids or not option.offers or option.id in ("f", "g")
        assert label not in option.ids, "what an address held means one choice"
    if option.offers:
        assert option.default in option.values
        with pytest.raises(UserError, match="“no such choice” is not offered. Choose one of "):
            option.parse("no such choice")


def test_a_measure_s_settings_are_options() -> None:
    (variance,) = of_measure("svcca").values()
    assert variance.parse("0.95") == 0.95 and variance.label_of(0.95) == "95 %" and variance.default == 0.99
    assert options.ESTIMATOR.ids == ("unbiased", "biased", "sequence_aware")
    assert set(options.MEASURE.ids) >= {"cka", "stitching", "identity_stitching"}
    assert "token_alignment" not in options.MEASURE.ids, "a measure of single tokens is none of two models' layers"


def test_no_page_has_two_options_of_one_name() -> None:
    for group in options.OPTIONS.values():
        names = [option.id for option in group]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0", "at least 1 and at most 7"),
        ("8", "at least 1"),
        ("1.5", "no whole number"),
        ("9" * 5000, "no whole number"),
    ],
)
def test_a_number_out_of_range_is_a_sentence(text, sentence) -> None:
    number = Number("batch", "Batch", default=1, high=7)
    assert number.parse("7") == 7 and number.format(7) == "7" and not number.accepts(text)
    with pytest.raises(UserError, match=sentence):
        number.parse(text)
    assert GPUS.parse("0.5") == 0.5 and not GPUS.accepts("nan")


def test_a_flag_takes_ids_defaults_and_help_from_its_option() -> None:
    option = Option("colour", "Colour", (Choice("red", "a red one"), Choice("blue", "a blue one")), "blue", "Which.")
    number = Number("size", "Size", default=3, flag="how-large", low=2, high=9)

    @click.command()
    @flag(option)
    @flag(number)
    def show(colour: str, how_large: int) -> None:
        click.echo(f"{colour} {how_large}")

    run = CliRunner().invoke
    assert run(show, []).output == "blue 3\n"
    assert run(show, ["--colour", "red", "--how-large", "9"]).output == "red 9\n"
    assert "'green' is not one of 'red', 'blue'" in run(show, ["--colour", "green"]).output
    assert "10 is not in the range 2<=x<=9" in run(show, ["--how-large", "10"]).output
    help_text = run(show, ["--help"]).output
    assert "[red|blue]" in help_text and "Which." in help_text and "[default: blue]" in help_text


def test_the_command_line_offers_what_the_options_offer() -> None:
    from repdiss_core.__main__ import cli

    commands = [cli.commands[name] for name in ("run", "compare", "figure")]
    flags = [
        (name, p) for command in commands for p in command.params for name in p.opts if isinstance(p, click.Option)
    ]
    for option in COMMAND_LINE:
        # --rows of `compare` are not those of `run` and `figure`
        named = [p for name, p in flags if name == f"--{option.flag or option.id}"]
        chosen = [p for p in named if isinstance(p.type, click.Choice)]
        assert not chosen or any(tuple(p.type.choices) == option.ids for p in chosen)
        parameter = named[-1]
        if isinstance(option, Number):
            assert parameter.type.min == option.low
