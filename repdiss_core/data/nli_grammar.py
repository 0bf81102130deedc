"""A template grammar of English-like sentences whose meaning is known by construction: the source of the NLI sets.

A sentence asserts facts (agent, verb, patient). Each noun names one person of the scene, so that every question "does
the premise assert this fact?" has one answer. Past tense and participle are the same word for every verb: active and
passive sentences share all content words, which lexical-overlap items need.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

NOUNS = (
    "doctor", "lawyer", "judge", "artist", "baker", "farmer", "singer", "student", "teacher", "sailor", "writer",
    "nurse", "pilot", "banker", "senator", "actor", "dancer", "tourist", "manager", "chemist", "barber", "miller",
    "waiter", "tailor",
)  # fmt: skip
TRANSITIVE = (
    "helped", "praised", "followed", "called", "thanked", "watched", "visited", "admired", "greeted", "warned",
    "joined", "blamed", "pushed", "hired", "trusted", "chased",
)  # fmt: skip
INTRANSITIVE = ("slept", "waited", "laughed", "danced", "arrived", "smiled", "shouted", "rested", "worked", "stumbled")
ADJECTIVES = ("old", "young", "tall", "happy", "tired", "quiet", "famous", "angry", "polite", "rich")
PREPOSITIONS = ("near", "behind", "beside", "opposite")
ADVERBS = ("today", "yesterday", "often", "again", "quickly", "loudly", "gladly", "alone")
PLACES = ("garden", "park", "office", "library", "market", "kitchen", "station", "theatre")
FUNCTION_WORDS = ("the", "that", "and", "was", "by", "in", "never", "no")
WORDS = NOUNS + TRANSITIVE + INTRANSITIVE + ADJECTIVES + PREPOSITIONS + ADVERBS + PLACES + FUNCTION_WORDS


@dataclass(frozen=True)
class Fact:
    """Somebody did something (to somebody), or, negated, did not."""

    agent: str
    verb: str
    patient: str | None = None
    negated: bool = False

    def denied(self) -> Fact:
        """The opposite fact."""
        return replace(self, negated=not self.negated)


@dataclass(frozen=True)
class Sentence:
    """Words, the facts that they assert, and the modifiers (adjective of a noun, adverb, place) that they use."""

    words: tuple[str, ...]
    facts: tuple[Fact, ...]
    adjectives: tuple[tuple[str, str], ...] = ()

    @property
    def main(self) -> Fact:
        """The fact of the main clause."""
        return self.facts[0]


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: its words, the persons it names (two for a conjunction), what its modifiers assert."""

    words: tuple[str, ...]
    persons: tuple[str, ...]
    facts: tuple[Fact, ...] = ()
    adjectives: tuple[tuple[str, str], ...] = ()


class Scene:
    """Draws words for one premise, none of them twice."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._nouns = list(rng.permutation(NOUNS))
        self._transitive = list(rng.permutation(TRANSITIVE))
        self._intransitive = list(rng.permutation(INTRANSITIVE))
        self._adjectives = list(rng.permutation(ADJECTIVES))

    def noun(self) -> str:
        """A person not yet in the scene."""
        return str(self._nouns.pop())

    def verb(self, transitive: bool) -> str:
        """A verb not yet in the scene."""
        return str((self._transitive if transitive else self._intransitive).pop())

    def adjective(self) -> str:
        """An adjective not yet in the scene."""
        return str(self._adjectives.pop())

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < probability)

    def one_of(self, options: tuple[str, ...]) -> str:
        """One of the options, all alike."""
        return str(options[self.rng.integers(len(options))])


def noun_phrase(scene: Scene, form: str) -> Phrase:
    """A noun phrase of the given form: "plain", "preposition", "subject_relative", "object_relative",
    "intransitive_relative" or "conjunction"."""
    head = plain_phrase(scene)
    person = head.persons[0]
    if form == "plain":
        return head
    if form == "intransitive_relative":
        verb = scene.verb(False)
        return replace(head, words=(*head.words, "that", verb), facts=(Fact(person, verb),))
    other = plain_phrase(scene)
    adjectives = head.adjectives + other.adjectives
    second = other.persons[0]
    if form == "preposition":
        return Phrase((*head.words, scene.one_of(PREPOSITIONS), *other.words), (person,), (), adjectives)
    if form == "conjunction":
        return Phrase((*head.words, "and", *other.words), (person, second), (), adjectives)
    verb = scene.verb(True)
    if form == "subject_relative":
        return Phrase((*head.words, "that", verb, *other.words), (person,), (Fact(person, verb, second),), adjectives)
    return Phrase((*head.words, "that", *other.words, verb), (person,), (Fact(second, verb, person),), adjectives)


def plain_phrase(scene: Scene, adjective_rate: float = 0.15) -> Phrase:
    """ "the doctor" or "the old doctor"."""
    noun = scene.noun()
    if scene.chance(adjective_rate):
        adjective = scene.adjective()
        return Phrase(("the", adjective, noun), (noun,), (), ((noun, adjective),))
    return Phrase(("the", noun), (noun,))


def clause(
    subject: Phrase, verb: str, target: Phrase | None, passive: bool, negated: bool, tail: tuple[str, ...]
) -> Sentence:
    """A main clause. Active: the subject acts on the target; passive: the target acts on the subject."""
    never = ("never",) if negated else ()
    if target is None:
        words = (*subject.words, *never, verb, *tail)
        main = [Fact(p, verb, None, negated) for p in subject.persons]
        return Sentence(words, (*main, *subject.facts), subject.adjectives)
    if passive:
        words = (*subject.words, "was", *never, verb, "by", *target.words, *tail)
        agents, patients = target.persons, subject.persons
    else:
        words = (*subject.words, *never, verb, *target.words, *tail)
        agents, patients = subject.persons, target.persons
    main = [Fact(a, verb, p, negated) for a in agents for p in patients]
    return Sentence(words, (*main, *subject.facts, *target.facts), subject.adjectives + target.adjectives)


def draw_premise(rng: np.random.Generator, negated_rate: float = 0.1) -> Sentence:
    """A premise of at most 17 words: any mix of modifiers that the grammar has, at most one clause inside another."""
    scene = Scene(rng)
    forms = ("plain", "preposition", "subject_relative", "object_relative", "intransitive_relative", "conjunction")
    weights = (0.34, 0.14, 0.13, 0.13, 0.08, 0.18)
    subject_form = str(rng.choice(forms, p=weights))
    subject = noun_phrase(scene, subject_form)
    negated = scene.chance(negated_rate)
    target = None
    passive = False
    if not scene.chance(0.3):
        form = str(rng.choice(forms, p=weights)) if subject_form in ("plain", "conjunction", "preposition") else "plain"
        target = noun_phrase(scene, form if not (subject_form == "conjunction" and form == "conjunction") else "plain")
        passive = scene.chance(0.25)
    tail = (
        draw_tail(scene) if len(subject.words) + len(target.words if target else ()) < 13 and scene.chance(0.3) else ()
    )
    return clause(subject, scene.verb(target is not None), target, passive, negated, tail)


def draw_tail(scene: Scene) -> tuple[str, ...]:
    """ "today", or "in the garden"."""
    return (scene.one_of(ADVERBS),) if scene.chance(0.5) else ("in", "the", scene.one_of(PLACES))


def state(fact: Fact, rng: np.random.Generator, passive_rate: float = 0.25) -> tuple[str, ...]:
    """A short sentence that asserts the fact, active or passive; a negated one with "never" or "no"."""
    passive = fact.patient is not None and rng.random() < passive_rate
    first, second = (fact.patient, fact.agent) if passive else (fact.agent, fact.patient)
    with_no = fact.negated and rng.random() < 0.3
    never = ("never",) if fact.negated and not with_no else ()
    words = ("no" if with_no else "the", str(first), *(("was",) if passive else ()), *never, fact.verb)
    if second is None:
        return words
    return (*words, *(("by",) if passive else ()), "the", str(second))
