"""Completions of the filter of the runs table."""

import pytest

from builders.runs import run_info
from transformer_playground.runs.fields import setting_keys
from transformer_playground.runs.query import parse_query, select
from transformer_playground.tui.runs.filter_completion import complete_filter, unfinished_term

RUNS = [
    run_info("a", "finished", experiment="bible", settings={"model.norm": "rmsnorm", "x.y": True}),
    run_info("b", "failed", experiment="my text", settings={"model.norm": "layernorm", "x.z": 3}),
    run_info("c", "finished", tags=("old",), settings={"model.norm": "rmsnorm", "x.z": [1, 2]}),
]


def texts(typed: str) -> list[str]:
    return [each.text for each in complete_filter(typed, RUNS)]


def test_part_of_a_name_completes_a_field_or_setting_with_its_usual_operator() -> None:
    assert texts("val_l") == ["val_loss<", "best_val_loss<"]
    assert texts("norm") == texts("model.n") == ["norm="]
    assert [each.note for each in complete_filter("norm", RUNS)] == ["model.norm"]
    # Ends that several settings share, and names of fields, mean something else.
    twins = {"model.size": 1, "other.size": 2, "train.runtime.seed": 3, "model.age": 4}
    rows = [run_info("a", settings=twins)]
    found = {each.text for word in ("size", "seed", "age") for each in complete_filter(word, rows)}
    assert {"model.size=", "other.size=", "runtime.seed=", "model.age="} <= found
    assert texts("stat") == ["status:"]
    assert texts("ag") == ["age<", "tag:"]
    assert texts("qqq") == []
    assert texts("") == texts("norm=x ") == []


def test_a_saved_filter_is_offered_by_its_name_until_a_second_word() -> None:
    saved = {"good": "val_loss<2 norm=rmsnorm", "old ones": "tag:old"}

    def offered(typed: str) -> list[str]:
        return [each.text for each in complete_filter(typed, RUNS, saved)]

    assert offered("") == ["val_loss<2 norm=rmsnorm", "tag:old"]
    assert offered("Go") == ["val_loss<2 norm=rmsnorm"]
    assert offered("o")[0] == "tag:old"
    assert "tag:old" not in offered("old o")
    assert complete_filter("o", RUNS, saved)[0].note == "saved as old ones"


def test_values_are_those_of_the_runs_and_the_most_frequent_comes_first() -> None:
    assert texts("model.norm=") == ["model.norm=rmsnorm", "model.norm=layernorm"]
    assert texts("norm:rm") == ["norm:rmsnorm", "norm:layernorm"]
    assert texts("norm:la") == ["norm:layernorm"]
    assert texts("status:") == ["status:finished", "status:failed"]
    assert texts("tag:") == ["tag:old"]
    assert texts("x.y=") == ["x.y=true"]
    assert texts("z=") == ["z=1", "z=2", "z=3"]
    assert texts("status:failed|fin") == ["finished"]
    assert texts("status:failed|status:fin") == ["status:finished"]
    assert texts('experiment:"my') == ['experiment:"my text"']
    assert texts("val_loss<") == texts("nothing:") == []
    notes = {each.text: each.note for each in complete_filter("status:", RUNS)}
    assert notes == {"status:finished": "2 runs", "status:failed": "1 run"}


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("rope val_l", "val_l"),
        ("-sta", "sta"),
        ("status:failed|fin", "fin"),
        ('"my te', '"my te'),
        ('-experiment:"my ', 'experiment:"my '),
        ("rope ", ""),
        ("rope |", ""),
        ("", ""),
    ],
)
def test_completions_replace_the_end_of_the_last_term(text: str, term: str) -> None:
    assert unfinished_term(text) == term


def test_every_completed_value_is_a_filter_that_finds_a_run() -> None:
    keys = setting_keys(RUNS)
    for name in ("model.norm=", "status:", "tag:", "x.y=", "x.z=", "experiment:", "run:"):
        for text in texts(name):
            assert select(RUNS, parse_query(text, keys), 0.0), text
