"""An independent rule for NLI labels: reads the words alone, with a parser and a word list of its own."""

from __future__ import annotations

PEOPLE = set(
    [
        "doctor",
        "lawyer",
        "judge",
        "artist",
        "baker",
        "farmer",
        "singer",
        "student",
        "teacher",
        "sailor",
        "writer",
        "nurse",
        "pilot",
        "banker",
        "senator",
        "actor",
        "dancer",
        "tourist",
        "manager",
        "chemist",
        "barber",
        "miller",
        "waiter",
        "tailor",
    ]
)
DO_TO = set(
    [
        "helped",
        "praised",
        "followed",
        "called",
        "thanked",
        "watched",
        "visited",
        "admired",
        "greeted",
        "warned",
        "joined",
        "blamed",
        "pushed",
        "hired",
        "trusted",
        "chased",
    ]
)
DO = set(["slept", "waited", "laughed", "danced", "arrived", "smiled", "shouted", "rested", "worked", "stumbled"])
NEXT_TO = set(["near", "behind", "beside", "opposite"])


class Reader:
    """Reads one sentence from left to right."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words, self.at = list(words), 0
        self.claims: set[tuple] = set()  # (agent, verb, patient, true?)
        self.modifiers: set[tuple] = set()

    def next(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def take(self, *allowed: str) -> str:
        word = self.next()
        assert not allowed or word in allowed, f"{word!r} at {self.at} of {' '.join(self.words)}; expected {allowed}"
        self.at += 1
        return word

    def person(self) -> tuple[str, bool]:
        positive = self.take("the", "no") == "the"
        adjective = None if self.next() in PEOPLE else self.take()
        noun = self.take()
        assert noun in PEOPLE, noun
        if adjective:
            self.modifiers.add((noun, adjective))
        return noun, positive

    def group(self) -> tuple[list[str], bool]:
        """Whom a noun phrase names; what stands in its relative clause is noted."""
        noun, positive = self.person()
        if self.next() == "and":
            self.take()
            return [noun, self.person()[0]], positive
        if self.next() in NEXT_TO:
            self.take()
            self.person()
        elif self.next() == "that":
            self.take()
            self.relative(noun)
        return [noun], positive

    def relative(self, noun: str) -> None:
        if self.next() in DO:
            self.claims.add((noun, self.take(), None, True))
        elif self.next() in DO_TO:
            verb = self.take()
            self.claims.add((noun, verb, self.person()[0], True))
        else:
            other = self.person()[0]
            self.claims.add((other, self.take(*DO_TO), noun, True))

    def sentence(self) -> Reader:
        first, true = self.group()
        passive = self.next() == "was" and bool(self.take())
        if self.next() == "never":
            self.take()
            true = not true
        verb = self.take(*DO, *DO_TO)
        if verb in DO:
            self.claims |= {(who, verb, None, true) for who in first}
        else:
            if passive:
                self.take("by")
            second, _ = self.group()
            agents, patients = (second, first) if passive else (first, second)
            self.claims |= {(a, verb, p, true) for a in agents for p in patients}
        if self.at < len(self.words):
            self.modifiers.add(("how", " ".join(self.words[self.at :])))
        return self


def label(premise: tuple[str, ...], hypothesis: tuple[str, ...]) -> str:
    """entailment, neutral or contradiction."""
    known, asked = Reader(premise).sentence(), Reader(hypothesis).sentence()
    (agent, verb, patient, true) = next(iter(asked.claims))
    assert len(asked.claims) == 1
    if (agent, verb, patient, not true) in known.claims:
        return "contradiction" if asked.modifiers <= known.modifiers else "neutral"
    held = (agent, verb, patient, true) in known.claims
    return "entailment" if held and asked.modifiers <= known.modifiers else "neutral"
