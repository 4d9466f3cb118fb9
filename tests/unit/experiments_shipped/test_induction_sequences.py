import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from transformer_playground.experiments.discovery import load_experiment

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


@pytest.fixture(scope="module")
def preparer() -> ModuleType:
    path = EXPERIMENTS / "induction" / "prepare.py"
    spec = importlib.util.spec_from_file_location("prepare_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_text_is_a_sequence_of_random_letters_said_three_times(preparer: ModuleType) -> None:
    lengths = set()
    for text in preparer.generate(500):
        length = len(text) // 3
        assert text == 3 * text[:length]
        lengths.add(length)
    assert lengths == set(range(6, 25))


def test_all_letters_are_about_as_frequent(preparer: ModuleType) -> None:
    text = "".join(preparer.generate(2000))
    counts = [text.count(letter) for letter in set(text)]
    assert len(counts) == 26
    assert max(counts) < 1.25 * min(counts)


def test_the_same_seed_gives_the_same_texts(preparer: ModuleType) -> None:
    assert preparer.generate(20) == preparer.generate(20)
    assert preparer.generate(20) != preparer.generate(20, seed=1)


def test_a_window_holds_the_longest_sequence_and_its_repetition(preparer: ModuleType) -> None:
    _, loaded = load_experiment(EXPERIMENTS, "induction", None, (), {})
    config = loaded.config
    assert config.model.block_size == 2 * preparer.LONGEST
    # The induction head needs a second layer that reads what the first one writes.
    assert config.model.n_layer == 2
    assert config.train.runtime.head_scores
    evaluations = config.train.runtime.max_iters // config.train.runtime.eval_interval + 1
    assert config.train.checkpointing.keep.last >= evaluations
