"""Examples before questions of lm-eval: how many, which, and where they make no sense."""

from typing import Any

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.harness.tasks import HarnessOptions, set_examples


class Task:
    """What is asked of a task of lm-eval."""

    def __init__(self, **config: Any) -> None:
        self.config = {"output_type": "multiple_choice", "fewshot_split": "train"} | config
        self.seed: int | None = None

    def get_config(self, key: str) -> Any:
        return self.config.get(key)

    def set_config(self, key: str, value: Any) -> None:
        self.config[key] = value

    def set_fewshot_seed(self, seed: int) -> None:
        self.seed = seed

    def fewshot_docs(self) -> list[str]:
        return ["a", "b", "c"]

    def has_training_docs(self) -> bool:
        return False

    has_validation_docs = has_training_docs


@pytest.mark.parametrize(
    ("stated", "wanted", "count"),
    [(None, None, 0), (2, None, 2), (2, 3, 3), (None, 1, 1), (2, 0, 0)],
)
def test_a_task_shows_as_many_examples_as_are_asked_for_or_as_its_file_says(
    stated: int | None, wanted: int | None, count: int
) -> None:
    task = Task(num_fewshot=stated)
    set_examples({"mine": task}, HarnessOptions(num_fewshot=wanted, seed=5), pytest.fail)
    assert (task.config["num_fewshot"], task.seed) == (count, 5)


def test_a_task_without_examples_by_its_own_file_keeps_none_and_says_so() -> None:
    task, notes = Task(num_fewshot=0), list[str]()
    set_examples({"mine": task}, HarnessOptions(num_fewshot=2), notes.append)
    assert task.config["num_fewshot"] == 0
    assert notes == ["mine shows no examples: its task file says so"]


def test_examples_from_the_evaluated_documents_are_mentioned() -> None:
    notes: list[str] = []
    task = Task(fewshot_split=None)
    set_examples({"mine": task}, HarnessOptions(num_fewshot=2), notes.append)
    assert "names no fewshot_split" in notes[0]


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (Task(), {"num_fewshot": 4}, "'mine' has 3 documents to take examples from, not 4"),
        (Task(output_type="loglikelihood_rolling"), {"num_fewshot": 1}, "--num-fewshot has no"),
        (Task(output_type="loglikelihood_rolling"), {"chat": object()}, "--apply-chat-template"),
    ],
)
def test_what_has_no_effect_or_no_documents_is_refused(
    task: Task, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        set_examples({"mine": task}, HarnessOptions(**options), pytest.fail)


@pytest.mark.parametrize(
    "options",
    [
        {"num_fewshot": -1},
        *({"limit": each} for each in (0.0, -3, 2.5, float("nan"), float("inf"))),
    ],
)
def test_numbers_that_are_not_possible_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="number of"):
        HarnessOptions(**options)
