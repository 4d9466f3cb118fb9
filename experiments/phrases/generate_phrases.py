"""Write the phrase corpus: a small grammar over `lexicon.toml`, the same lines every time.

Runs as a script too: `python generate_phrases.py [COUNT] > phrases.txt`.
"""

import random
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from transformer_playground.files import replace_text

COUNT = 18_000
SEED = 2718
LEXICON = Path(__file__).with_name("lexicon.toml")

_VOWELS = "aeiou"
_SHORTEST, _LONGEST = 4, 9

_T = TypeVar("_T")


def with_article(noun_phrase: str) -> str:
    """`noun_phrase` behind a or an, chosen by its first letter: enough for this lexicon."""
    return f"{'an' if noun_phrase[0] in _VOWELS else 'a'} {noun_phrase}"


@dataclass(frozen=True)
class Verbs:
    """Inflects acts such as "stir the soup" by their first word.

    Args:
        irregular_past: base -> past, for verbs that do not follow the rule.
    """

    irregular_past: dict[str, str]

    def third_person(self, act: str) -> str:
        """Turn "stir the soup" into "stirs the soup"."""
        verb, _, rest = act.partition(" ")
        return f"{_third_person(verb)} {rest}"

    def past(self, act: str) -> str:
        """Turn "stir the soup" into "stirred the soup"."""
        verb, _, rest = act.partition(" ")
        return f"{self.irregular_past.get(verb) or _regular_past(verb)} {rest}"


def _third_person(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return f"{verb}es"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return f"{verb[:-1]}ies"
    return f"{verb}s"


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return f"{verb[:-1]}ied"
    return f"{verb}ed"


class PhraseGrammar:
    """Draws one phrase at a time.

    Args:
        lexicon: The parsed `lexicon.toml`.
        seed: Seed of the draws.
    """

    def __init__(self, lexicon: dict[str, Any], seed: int) -> None:
        self._words = lexicon
        self._shared: dict[str, list[str]] = lexicon["shared"]
        self._verbs = Verbs(lexicon["grammar"]["past"])
        self._random = random.Random(seed)
        # Repeated entries are drawn more often.
        self._patterns: list[Callable[[], str]] = [
            *[self._present] * 4,
            *[self._past] * 4,
            *[self._crowd] * 3,
            *[self._kin] * 3,
            *[self._request] * 2,
            *[self._question] * 2,
            *[self._thing] * 3,
            *[self._weather] * 3,
            *[self._proverb] * 3,
        ]

    def phrase(self) -> str:
        """One lower-case phrase; may repeat an earlier one."""
        return self._pick(self._patterns)()

    def _pick(self, choices: Sequence[_T]) -> _T:
        # random() is the one draw whose sequence Python promises to keep between versions.
        return choices[int(self._random.random() * len(choices))]

    def _one_of(self, table: str) -> str:
        return self._pick(self._shared[table])

    def _scene(self) -> dict[str, list[str]]:
        scenes: list[dict[str, list[str]]] = self._words["scenes"]
        return self._pick(scenes)

    def _someone(self, scene: dict[str, list[str]]) -> str:
        person = self._pick(scene["people"])
        adjective = self._one_of("person_adjectives")
        return self._pick([f"the {person}", f"the {adjective} {person}"])

    def _something(self, scene: dict[str, list[str]]) -> str:
        thing = self._pick(scene["things"])
        return self._pick([thing, f"{self._one_of('thing_adjectives')} {thing}"])

    def _present(self) -> str:
        scene = self._scene()
        act = self._verbs.third_person(self._pick(scene["acts"]))
        setting = self._pick(["", self._one_of("times"), self._one_of("habits")])
        return f"{self._someone(scene)} {act} {setting}"

    def _past(self) -> str:
        scene = self._scene()
        act = self._verbs.past(self._pick(scene["acts"]))
        setting = self._pick(
            [self._pick(scene["places"]), self._one_of("manners"), self._one_of("past_times")]
        )
        return f"{self._someone(scene)} {act} {setting}"

    def _crowd(self) -> str:
        scene = self._scene()
        act, crowd = self._pick(scene["acts"]), self._pick(scene["crowds"])
        return self._pick(
            [
                f"the {crowd} {act} {self._pick(['', self._one_of('habits')])}",
                f"two {crowd} {self._verbs.past(act)} {self._pick(scene['places'])}",
                f"some {crowd} never {act}",
            ]
        )

    def _kin(self) -> str:
        scene = self._scene()
        act, kin = self._pick(scene["acts"]), self._one_of("kin")
        return self._pick(
            [
                f"my {kin} {self._verbs.third_person(act)} {self._one_of('habits')}",
                f"our {kin} {self._verbs.past(act)} {self._one_of('past_times')}",
                f"your {kin} will {act} {self._one_of('future_times')}",
            ]
        )

    def _request(self) -> str:
        scene = self._scene()
        act = self._pick(scene["acts"])
        return self._pick(
            [
                f"please {act} {self._one_of('times')}",
                f"never {act} {self._pick(scene['places'])}",
                f"let us {act} {self._one_of('future_times')}",
                f"do not {act} {self._one_of('manners')}",
            ]
        )

    def _question(self) -> str:
        scene = self._scene()
        act = self._pick(scene["acts"])
        return self._pick(
            [
                f"did {self._someone(scene)} {act}",
                f"will you {act} {self._one_of('future_times')}",
                f"who {self._verbs.past(act)} {self._one_of('past_times')}",
                f"why must the {self._pick(scene['crowds'])} {act}",
            ]
        )

    def _thing(self) -> str:
        scene = self._scene()
        thing, place = self._something(scene), self._pick(scene["places"])
        return self._pick(
            [
                f"there is {with_article(thing)} {place}",
                f"someone left the {thing} {place}",
                f"the {thing} is {self._one_of('states')}",
                f"my {self._one_of('kin')} bought {with_article(thing)}",
            ]
        )

    def _weather(self) -> str:
        weather = self._words["weather"]
        subject, number = self._pick(weather["subjects"])
        act = f"{self._pick(weather['verbs'])} {self._pick(weather['places'])}"
        present = self._verbs.third_person(act) if number == "s" else act
        return self._pick(
            [
                f"{subject} {present}",
                f"{subject} {present} {self._one_of('habits')}",
                f"{subject} {self._verbs.past(act)} {self._one_of('past_times')}",
            ]
        )

    def _proverb(self) -> str:
        lists = {name: self._pick(words) for name, words in self._words["proverbs"].items()}
        return self._pick(
            [
                f"better {lists['better']} than {lists['worse']}",
                f"{lists['virtues']} can {lists['feats']}",
                f"only {lists['virtues']} {self._verbs.third_person(lists['feats'])}",
                f"no {lists['wishes']} without {lists['prices']}",
                f"where {lists['causes']}, {lists['effects']}",
            ]
        )


def generate(count: int = COUNT, seed: int = SEED) -> list[str]:
    """`count` distinct phrases of 4 to 9 words; the same arguments give the same phrases."""
    grammar = PhraseGrammar(tomllib.loads(LEXICON.read_text(encoding="utf-8")), seed)
    phrases: dict[str, None] = {}
    while len(phrases) < count:
        words = grammar.phrase().split()
        if _SHORTEST <= len(words) <= _LONGEST:
            phrases[" ".join(words)] = None
    return list(phrases)


def write_phrases(path: Path) -> int:
    """Write the corpus to `path`, one phrase per line, and return how many there are."""
    phrases = generate()
    replace_text(path, _as_text(phrases))
    return len(phrases)


def is_generated(path: Path) -> bool:
    """Whether a file is the corpus as `write_phrases` writes it."""
    return path.read_bytes() == _as_text(generate()).encode("utf-8")


def _as_text(phrases: Iterable[str]) -> str:
    return "".join(f"{phrase}\n" for phrase in phrases)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    sys.stdout.write(_as_text(generate(wanted)))
