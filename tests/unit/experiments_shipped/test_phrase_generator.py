import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[3] / "experiments" / "phrases"
SCRIPT = FOLDER / "generate_phrases.py"
LINE = re.compile(r"[a-z]+,?( [a-z]+,?){3,8}")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_phrases_under_test", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_corpus_has_at_least_15000_distinct_phrases(generator: ModuleType) -> None:
    phrases = generator.generate()
    assert len(phrases) == len(set(phrases)) == generator.COUNT >= 15_000


def test_phrases_are_clean_lower_case_lines_of_four_to_nine_words(generator: ModuleType) -> None:
    strange = [phrase for phrase in generator.generate() if not LINE.fullmatch(phrase)]
    assert strange == []


def test_the_same_seed_gives_the_same_phrases_and_another_gives_others(
    generator: ModuleType,
) -> None:
    assert generator.generate(200) == generator.generate()[:200]
    assert generator.generate(200, seed=1) != generator.generate(200)


def test_the_file_is_the_same_in_another_process_with_another_hash_seed(
    generator: ModuleType, tmp_path: Path
) -> None:
    generator.write_phrases(tmp_path / "phrases.txt")
    printed = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        check=True,
        env={"PYTHONHASHSEED": "7"},
    ).stdout
    assert (
        printed.decode("utf-8").splitlines()
        == (tmp_path / "phrases.txt").read_text(encoding="utf-8").splitlines()
    )


@pytest.mark.parametrize(
    ("act", "third_person", "past"),
    [
        ("stir the soup", "stirs the soup", "stirred the soup"),
        ("watch the tide", "watches the tide", "watched the tide"),
        ("carry the trunk", "carries the trunk", "carried the trunk"),
        ("play the accordion", "plays the accordion", "played the accordion"),
        ("bake a plum cake", "bakes a plum cake", "baked a plum cake"),
        ("steal the last biscuit", "steals the last biscuit", "stole the last biscuit"),
        ("cross the iron bridge", "crosses the iron bridge", "crossed the iron bridge"),
        ("teach the parrot to count", "teaches the parrot to count", "taught the parrot to count"),
    ],
)
def test_verbs_agree_in_person_and_tense(
    generator: ModuleType, act: str, third_person: str, past: str
) -> None:
    text = generator.LEXICON.read_text(encoding="utf-8")
    verbs = generator.Verbs(generator.tomllib.loads(text)["grammar"]["past"])
    assert verbs.third_person(act) == third_person
    assert verbs.past(act) == past


def test_every_irregular_verb_is_used_by_some_act(generator: ModuleType) -> None:
    lexicon = generator.tomllib.loads(generator.LEXICON.read_text(encoding="utf-8"))
    acts = [act for scene in lexicon["scenes"] for act in scene["acts"]]
    acts += [*lexicon["weather"]["verbs"], *lexicon["proverbs"]["feats"]]
    assert set(lexicon["grammar"]["past"]) <= {act.split()[0] for act in acts}


def test_articles_fit_the_word_that_follows(generator: ModuleType) -> None:
    assert generator.with_article("old umbrella") == "an old umbrella"
    assert generator.with_article("tin cup") == "a tin cup"
    wrong = [p for p in generator.generate() if re.search(r"\ba [aeio]|\ban [^aeiouh]", p)]
    assert wrong == []
