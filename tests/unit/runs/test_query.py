"""The query language of `tp runs`: selection and order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.runs import run_info
from transformer_playground.errors import UsageError
from transformer_playground.runs.fields import FIELDS, Parent, RunInfo, find_field, setting_keys
from transformer_playground.runs.query import parse_query, select, sort_rows

NOW = datetime(2026, 3, 10, 12, 0).timestamp()
DAY = 86_400.0

ROWS = [
    run_info(
        "rope-1",
        "finished",
        experiment="shakespeare",
        step=2_000,
        val_loss=1.8,
        best_val_loss=1.79,
        parameters=796_000,
        tokens_per_sec_median=14_000.0,
        wall_time=117.0,
        created=NOW - 2 * 3_600,
        tags=("Fast", "baseline"),
        note="the one\nto beat",
        settings={"model.norm": "rmsnorm", "model.bias": False, "train.optim.lr": 1e-3},
    ),
    run_info(
        "learned-1",
        "running",
        experiment="shakespeare",
        step=500,
        val_loss=2.1,
        created=NOW - 60,
        wall_time=50.0,
        settings={"model.norm": "layernorm", "model.bias": True, "train.optim.lr": 0.01},
    ),
    run_info(
        "bundestag-1",
        "failed",
        problem="The loss is nan.",
        experiment="bundestag",
        val_loss=float("nan"),
        created=NOW - 3 * DAY,
        tags=("old",),
        settings={"model.norm": None, "experiment.tags": ["german", "fast"]},
    ),
    run_info("torn", "broken", problem="no config.json"),
]
SETTINGS = setting_keys(ROWS)


def chosen(text: str, rows: Sequence[RunInfo] = ROWS) -> set[str]:
    return {row.run_id for row in select(rows, parse_query(text, SETTINGS), NOW)}


ROPE, LEARNED, BUNDESTAG, TORN = "rope-1", "learned-1", "bundestag-1", "torn"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {ROPE, LEARNED, BUNDESTAG, TORN}),
        ("status:running", {LEARNED}),
        ("status:RUN", {LEARNED}),
        ("state=failed", {BUNDESTAG}),
        ("-status:running", {ROPE, BUNDESTAG, TORN}),
        ("status!=running", {ROPE, BUNDESTAG, TORN}),
        ("val_loss<1.9", {ROPE}),
        ("val_loss>=2.1", {LEARNED}),
        ("val_loss<=1.8 status:finished", {ROPE}),
        ("val_loss<1.9 status:running", set()),
        ("val_loss:none", {BUNDESTAG, TORN}),
        ("-val_loss:none", {ROPE, LEARNED}),
        ("val_loss=1.8", {ROPE}),
        ("val_loss!=1.8", {LEARNED, BUNDESTAG, TORN}),
        ("step>=0.5k", {ROPE, LEARNED}),
        ("step:2k", {ROPE}),
        ("params<1M", {ROPE}),
        ("tokens_per_second>1e4", {ROPE}),
        ("age<1h", {LEARNED}),
        ("age>1h age<1d", {ROPE}),
        ("age>=3d", {BUNDESTAG}),
        ("wall_time<1m", {LEARNED}),
        ("wall_time>1m30s", {ROPE}),
        ("created>=2026-03-10", {ROPE, LEARNED}),
        ("created:2026-03-07", {BUNDESTAG}),
        ('created="2026-03-10 10:00"', {ROPE}),
        ("tag:fast", {ROPE}),
        ("tag:fas", set()),
        ("-tag:fast", {LEARNED, BUNDESTAG, TORN}),
        ("tag!=old tag!=none", {ROPE}),
        ("experiment:shake", {ROPE, LEARNED}),
        ("experiment=shake", set()),
        ("note:BEAT", {ROPE}),
        ('note:"to beat"', {ROPE}),
        ("note:'to be'", {ROPE}),
        ("model.norm=rmsnorm", {ROPE}),
        ("model.norm:norm", {ROPE, LEARNED}),
        ("model.norm!=rmsnorm", {LEARNED, BUNDESTAG, TORN}),
        ("model.norm:none", {BUNDESTAG, TORN}),
        ("model.bias=true", {LEARNED}),
        ("model.bias=1", set()),
        ("train.optim.lr=1e-3", {ROPE}),
        ("train.optim.lr>0.001", {LEARNED}),
        ("experiment.tags:german", {BUNDESTAG}),
        ("experiment.tags=ger", set()),
        ("rope", {ROPE}),
        ("SHAKESPEARE -rope", {LEARNED}),
        ('"to beat"', {ROPE}),
        ("old", {BUNDESTAG}),
        ("  rope   finished  ", set()),
        ('"status:running"', set()),
        ("problem:nan", {BUNDESTAG}),
    ],
)
def test_a_query_selects_the_runs_that_match_all_terms(text: str, expected: set[str]) -> None:
    assert chosen(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("val_los<2", "val_loss"),
        ("lr=0.1", "Several settings end in 'lr'. Write train.optim.lr or train.other.lr."),
        ("model.nrom=x", "model.norm"),
        ("xyzzy:1", "There are: run, name, status"),
        ("val_loss<abc", "'abc' is not a number"),
        ("val_loss<nan", "not a number"),
        ("val_loss:", "Missing value after 'val_loss:'"),
        ("age<soon", "duration"),
        ("created>yesterday", "date"),
        ("status<running", "is text"),
        ("status:runing", "States: new"),
        ("model.norm<x", "not a number"),
        ('note:"open', "Unclosed quote"),
        ("it's", "Unclosed quote"),
        ("--columns", "No such option: --columns"),
        ("x" * 10_001, "10,001 characters"),
    ],
)
def test_an_invalid_query_gives_a_clear_error(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_query(text, SETTINGS | {"train.other.lr"})
    assert message in " ".join(str(caught.value).split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rope | learned", {ROPE, LEARNED}),
        ("rope|learned", {ROPE, LEARNED}),
        ("rope |learned", {ROPE, LEARNED}),
        ("status:failed|broken", {BUNDESTAG, TORN}),
        ("-status:failed|broken", {ROPE, LEARNED}),
        ("status!=failed|broken", {ROPE, LEARNED}),
        ("val_loss<1.9|status:failed", {ROPE, BUNDESTAG}),
        ("norm=rmsnorm|layernorm -rope", {LEARNED}),
        ("status:failed tag:old | val_loss<1.9", {ROPE, BUNDESTAG}),
        ("status:failed tag:none | rope", {ROPE}),
        ("rope |", {ROPE}),
        ("| rope", {ROPE}),
        ("|", {ROPE, LEARNED, BUNDESTAG, TORN}),
        ("'rope|learned'", set()),
        ("-|rope", {LEARNED, BUNDESTAG, TORN}),
    ],
)
def test_a_bar_separates_alternatives(text: str, expected: set[str]) -> None:
    assert chosen(text) == expected


def test_a_setting_is_found_by_the_end_of_its_key() -> None:
    assert chosen("norm=rmsnorm") == chosen("model.norm=rmsnorm") != set()
    assert find_field("lr", SETTINGS).key == "train.optim.lr"


def ids(rows: list[RunInfo]) -> list[str]:
    return [row.run_id for row in rows]


@pytest.mark.parametrize(
    ("keys", "reverse", "expected"),
    [
        ("val_loss", False, [ROPE, LEARNED, BUNDESTAG, TORN]),
        ("-val_loss", False, [LEARNED, ROPE, BUNDESTAG, TORN]),
        ("val_loss", True, [LEARNED, ROPE, BUNDESTAG, TORN]),
        ("-created", False, [LEARNED, ROPE, BUNDESTAG, TORN]),
        ("age", False, [LEARNED, ROPE, BUNDESTAG, TORN]),
        ("created", False, [BUNDESTAG, ROPE, LEARNED, TORN]),
        ("experiment,-step", False, [BUNDESTAG, ROPE, LEARNED, TORN]),
        ("experiment,step", False, [BUNDESTAG, LEARNED, ROPE, TORN]),
        ("-model.norm", False, [ROPE, LEARNED, BUNDESTAG, TORN]),
        ("run", False, [BUNDESTAG, LEARNED, ROPE, TORN]),
    ],
)
def test_missing_values_come_last_in_either_order(
    keys: str, reverse: bool, expected: list[str]
) -> None:
    assert ids(sort_rows(ROWS, keys, NOW, SETTINGS, reverse=reverse)) == expected


def test_sorting_by_an_empty_or_unknown_field_is_rejected() -> None:
    for keys in ("", " , ", "val_los"):
        with pytest.raises(UsageError):
            sort_rows(ROWS, keys, NOW, SETTINGS)


_odd: list[Any] = [None, 1, 2.5, 10**400, True, "word", "", [], [1, "a"], {}, float("inf")]
_odd.append([[[float("nan")]]])


def test_settings_of_every_type_can_be_compared_and_sorted() -> None:
    rows = [run_info(f"r{n}", "new", settings={"x.y": value}) for n, value in enumerate(_odd)]
    for operator in (":", "=", "!=", "<", "<=", ">", ">="):
        select(rows, parse_query(f"x.y{operator}5", {"x.y"}), NOW)
    assert chosen_of(rows, "x.y>1e300") == {"r3"}
    ordered = ids(sort_rows(rows, "x.y", NOW, {"x.y"}))
    assert ordered[:4] == ["r1", "r4", "r2", "r3"]
    # An infinity counts as missing, because JSON has none.
    assert set(ordered[-2:]) == {"r0", "r10"}
    assert all(find_field("x.y", {"x.y"}).text(row, NOW) is not None for row in rows)


def chosen_of(rows: list[RunInfo], text: str) -> set[str]:
    return {row.run_id for row in select(rows, parse_query(text, setting_keys(rows)), NOW)}


@given(st.text(alphabet=st.sampled_from("-|\"' :=<>!.abcstepagenot0123km\x1b[/]\n")) | st.text())
def test_every_text_is_a_query_or_is_rejected(text: str) -> None:
    try:
        query = parse_query(text, SETTINGS)
    except UsageError:
        return
    select(ROWS, query, NOW)


@given(st.lists(st.sampled_from(["status:running", "val_loss<2", "tag:fast", "model.norm:rms"])))
def test_a_negated_term_selects_exactly_the_others(terms: list[str]) -> None:
    everything = {row.run_id for row in ROWS}
    for term in terms:
        assert chosen(f"-{term}") == everything - chosen(term)
        assert chosen(" ".join(terms)) <= chosen(term)


def test_words_find_a_run_under_the_name_that_the_user_sees() -> None:
    names = {row.run_id: f"rope {place}e-2" for place, row in enumerate(ROWS)}
    found = select(ROWS, parse_query("ROPE 1e-2", name_of=names.__getitem__), NOW)
    assert [row.run_id for row in found] == [ROWS[1].run_id]
    assert not select(ROWS, parse_query("1e-2"), NOW)


def test_each_field_shows_a_full_row_and_an_empty_one() -> None:
    numbers = replace(
        ROWS[0].summary,
        best_step=1_900,
        train_loss=1.5,
        bits_per_byte=2.6,
        tokens_seen=1_536_000,
    )
    full = replace(
        ROWS[0],
        summary=numbers,
        max_iters=2_000,
        seed=1,
        parent=Parent("tree", 1_300),
        updated=NOW,
        problem="none at all",
        name="rope 1e-2",
    )
    for field in FIELDS.values():
        assert field.text(full, NOW) != ""
        shown = field.text(run_info("x", "new"), NOW)
        assert (shown == "") == (field.key not in ("run", "status"))
    texts = {key: field.text(full, NOW) for key, field in FIELDS.items()}
    assert texts["step"] == "2,000/2,000"
    assert texts["status"] == "✓ finished"
    assert texts["best_val_loss"] == "1.7900"
    assert texts["tokens_per_second"] == "14.0k"
    assert texts["age"] == "2h"
    assert texts["wall_time"] == "1m 57s"
    assert texts["tag"] == "Fast, baseline"
    assert texts["parent"] == "tree @ 1,300"
