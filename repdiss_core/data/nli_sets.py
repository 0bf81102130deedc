"""The NLI sets: premise, hypothesis, label.

In-distribution pairs, and pairs of full lexical overlap that do not follow.

Labels follow from the facts: entailment where the premise asserts the hypothesis, contradiction where it asserts the
opposite, neutral otherwise. In distribution, a neutral hypothesis has a word that the premise lacks and a contradiction
a negation that it lacks; only a fraction c are neutral hypotheses made of the premise's own words ("counter-examples").
A model can therefore learn a heuristic, "all words occur in the premise: entailment", that costs almost nothing here
and fails on the lexical-overlap sets (the design of HANS, McCoy et al. 2019; its five sub-cases of non-entailed
overlap).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from repdiss_core.data.nli_grammar import (
    ADJECTIVES,
    ADVERBS,
    INTRANSITIVE,
    NOUNS,
    TRANSITIVE,
    Fact,
    Scene,
    Sentence,
    clause,
    draw_premise,
    draw_tail,
    noun_phrase,
    plain_phrase,
    state,
)

LABELS = ("entailment", "neutral", "contradiction")
SUB_CASES = ("subject_object_swap", "preposition", "relative_clause", "passive", "conjunction")


@dataclass(frozen=True)
class Item:
    """One pair of sentences: `label` indexes LABELS; `kind` says how the pair was made."""

    premise: tuple[str, ...]
    hypothesis: tuple[str, ...]
    label: int
    kind: str

    @property
    def key(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What two equal items share."""
        return self.premise, self.hypothesis


def draw_in_distribution(rng: np.random.Generator, counter_examples: float) -> Item:
    """A pair of the training distribution; with probability `counter_examples` a neutral one of full overlap."""
    if rng.random() < counter_examples:
        item = draw_overlap(rng, SUB_CASES[rng.integers(len(SUB_CASES))])
        return replace(item, kind="counter_example")
    premise = draw_premise(rng)
    fact = premise.facts[rng.integers(len(premise.facts))]
    kind = LABELS[rng.integers(3)]
    if kind == "entailment":
        return Item(premise.words, state(fact, rng), 0, kind)
    if kind == "contradiction":
        return Item(premise.words, state(fact.denied(), rng), 2, kind)
    return Item(premise.words, with_new_word(premise, fact, rng), 1, kind)


def with_new_word(premise: Sentence, fact: Fact, rng: np.random.Generator) -> tuple[str, ...]:
    """A hypothesis with words that the premise lacks: one to three of person, verb and person,
    or an adjective or an adverb."""
    if rng.random() < 0.2 and not fact.negated:
        words = state(fact, rng)
        if rng.random() < 0.5:
            return (*words, _unused(ADVERBS, premise, rng))
        return (words[0], _unused(ADJECTIVES, premise, rng), *words[1:])
    places = ["agent", "verb"] + (["patient"] if fact.patient is not None else [])
    changed = rng.permutation(places)[: rng.integers(1, len(places) + 1)]
    verbs = TRANSITIVE if fact.patient is not None else INTRANSITIVE
    person = iter(rng.permutation([w for w in NOUNS if w not in premise.words]))
    new = {
        "agent": lambda: str(next(person)),
        "patient": lambda: str(next(person)),
        "verb": lambda: _unused(verbs, premise, rng),
    }
    return state(replace(fact, **{place: new[place]() for place in changed}, negated=bool(rng.random() < 0.15)), rng)


def _unused(words: tuple[str, ...], premise: Sentence, rng: np.random.Generator) -> str:
    return str(rng.choice([w for w in words if w not in premise.words]))


def draw_overlap(rng: np.random.Generator, sub_case: str) -> Item:
    """A neutral pair whose hypothesis uses the premise's words alone: one of SUB_CASES."""
    premise, hypothesis = _OVERLAP[sub_case](Scene(rng))
    return Item(premise.words, hypothesis, 1, sub_case)


def draw_entailed_overlap(rng: np.random.Generator) -> Item:
    """An entailed pair whose hypothesis uses the premise's words alone (what the heuristic gets right)."""
    while True:
        premise = draw_premise(rng, negated_rate=0.0)
        fact = premise.facts[rng.integers(len(premise.facts))]
        hypothesis = state(fact, rng, passive_rate=0.5)
        if set(hypothesis) <= set(premise.words):
            return Item(premise.words, hypothesis, 0, "entailed")


def _swap(scene: Scene) -> tuple[Sentence, tuple[str, ...]]:
    agent, patient = plain_phrase(scene), plain_phrase(scene)
    premise = clause(agent, scene.verb(True), patient, False, False, draw_tail(scene) if scene.chance(0.3) else ())
    return premise, _active(patient.persons[0], premise.main.verb, agent.persons[0])


def _preposition(scene: Scene) -> tuple[Sentence, tuple[str, ...]]:
    """ "the judge near the doctor helped the artist": the doctor did not help."""
    subject = noun_phrase(scene, "preposition")
    target = plain_phrase(scene) if scene.chance(0.6) else None
    premise = clause(subject, scene.verb(target is not None), target, False, False, _maybe_tail(scene))
    return premise, _active(subject.words[-1], premise.main.verb, target.persons[0] if target else None)


def _relative_clause(scene: Scene) -> tuple[Sentence, tuple[str, ...]]:
    """ "the judge that helped the doctor slept": the doctor did not sleep."""
    subject = noun_phrase(scene, "subject_relative" if scene.chance(0.5) else "object_relative")
    target = plain_phrase(scene) if scene.chance(0.6) else None
    premise = clause(subject, scene.verb(target is not None), target, False, False, _maybe_tail(scene))
    inner = subject.facts[0]
    other = inner.patient if inner.agent == subject.persons[0] else inner.agent
    return premise, _active(str(other), premise.main.verb, target.persons[0] if target else None)


def _passive(scene: Scene) -> tuple[Sentence, tuple[str, ...]]:
    """ "the judge was helped by the doctor": the judge did not help."""
    patient, agent = plain_phrase(scene), plain_phrase(scene)
    premise = clause(patient, scene.verb(True), agent, True, False, _maybe_tail(scene))
    return premise, _active(patient.persons[0], premise.main.verb, agent.persons[0])


def _conjunction(scene: Scene) -> tuple[Sentence, tuple[str, ...]]:
    """ "the judge and the doctor helped the artist": the judge did not help the doctor."""
    pair, single = noun_phrase(scene, "conjunction"), plain_phrase(scene)
    first = scene.chance(0.5)
    subject, target = (pair, single) if first else (single, pair)
    premise = clause(subject, scene.verb(True), target, False, False, _maybe_tail(scene))
    one, other = pair.persons if scene.chance(0.5) else pair.persons[::-1]
    return premise, _active(one, premise.main.verb, other)


def _maybe_tail(scene: Scene) -> tuple[str, ...]:
    return draw_tail(scene) if scene.chance(0.2) else ()


def _active(agent: str, verb: str, patient: str | None) -> tuple[str, ...]:
    return ("the", agent, verb) if patient is None else ("the", agent, verb, "the", patient)


_OVERLAP: dict[str, Callable[[Scene], tuple[Sentence, tuple[str, ...]]]] = {
    "subject_object_swap": _swap,
    "preposition": _preposition,
    "relative_clause": _relative_clause,
    "passive": _passive,
    "conjunction": _conjunction,
}
