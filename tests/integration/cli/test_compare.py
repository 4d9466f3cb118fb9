"""`tp compare`: the table, its groups, its remarks and its formats, from chosen numbers."""

import csv
import io
import json
import math
import shutil
import sys
from typing import Any

import pytest

from builders.commands import Ended, Project, Tp
from builders.comparisons import evaluated, finished_run
from builders.runs import append_rows, eval_row, status_row, train_row
from builders.schemas import check

TABLE_ONLY = ("--n-samples", 0)


def document(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    (found,) = ended.lines
    check("compare", found)
    return dict(found)


def line(ended: Ended, label: str) -> list[str]:
    """The cells of the first table line with this label, split at gaps."""
    assert ended.code == 0, ended.err
    (found, *_) = [each for each in ended.out.splitlines() if each.startswith(f"{label}  ")]
    return [cell.strip() for cell in found.removeprefix(label).split("  ") if cell.strip()]


@pytest.fixture
def runs_dir(project: Project) -> Any:
    return project.root / "runs"


def test_only_settings_that_differ_are_shown_and_all_if_asked(runs_dir: Any, tp: Tp) -> None:
    finished_run(runs_dir, "a", model={"norm": "layernorm"})
    finished_run(runs_dir, "b", model={"norm": "rmsnorm"})
    ended = tp("compare", "--run-ids", "a,b", *TABLE_ONLY)
    assert line(ended, "model.norm") == ["layernorm", "rmsnorm"]
    assert "n_layer" not in ended.out
    whole = tp("compare", "--run-ids", "a,b", "--all", *TABLE_ONLY)
    assert line(whole, "model.n_layer") == ["2", "2"]
    assert line(whole, "prepare.raw_dir") == ["/here/raw", "/here/raw"]


def test_a_setting_without_a_default_that_a_run_lacks_differs_from_every_value(
    runs_dir: Any, tp: Tp
) -> None:
    finished_run(runs_dir, "a", model={"gone": None})
    finished_run(runs_dir, "b")
    ended = tp("compare", "--run-ids", "a,b", *TABLE_ONLY)
    assert line(ended, "model.gone") == ["none", "–"]
    found = document(tp("compare", "--run-ids", "a,b", "--json", *TABLE_ONLY))
    assert [run["settings"] for run in found["runs"]] == [{"model.gone": None}, {}]


def test_where_the_data_lies_is_no_difference_and_splits_no_group(runs_dir: Any, tp: Tp) -> None:
    config = {"prepare": {"dataset_dir": "/there"}, "train": {"runtime": {"seed": 2}}}
    finished_run(runs_dir, "a", config={**config, "prepare": {"dataset_dir": "/here"}})
    finished_run(runs_dir, "b", config={**config, "train": {"runtime": {"seed": 3}}})
    found = document(tp("compare", "--run-ids", "a,b", "--json", *TABLE_ONLY))
    assert found["settings"] == ["train.runtime.seed"]
    assert [column["run_ids"] for column in found["columns"]] == [["a", "b"]]


def test_losses_on_different_windows_are_pointed_out(runs_dir: Any, tp: Tp) -> None:
    fields = {"eval_windows": 240, "window_tokens": 64}
    older, newer = evaluated(1.5, 2.0, 4.0), evaluated(1.5, 1.9, 4.0)
    newer = [row | fields if row["event"] == "eval" else row for row in newer]
    finished_run(runs_dir, "a", rows=older)
    finished_run(runs_dir, "b", rows=newer)
    finished_run(runs_dir, "c", rows=newer)
    remarks = document(tp("compare", "--run-ids", "a,b,c", "--json", *TABLE_ONLY))["remarks"]
    (remark,) = [each for each in remarks if "different parts" in each]
    assert "b, c on 240 windows of 64 tokens" in remark
    assert "a on random windows of an older version" in remark
    same = document(tp("compare", "--run-ids", "b,c", "--json", *TABLE_ONLY))["remarks"]
    assert not [each for each in same if "windows" in each]


def test_a_run_that_changed_its_windows_says_which_ones_count(runs_dir: Any, tp: Tp) -> None:
    finished_run(runs_dir, "a", rows=evaluated(1.5, 2.0, 4.0))
    run = finished_run(runs_dir, "b", rows=evaluated(1.5, 2.0, 4.0))
    later = eval_row(900, 2.5, val_bits_per_byte=3.0, eval_windows=240, window_tokens=64)
    append_rows(run, [later])
    found = document(tp("compare", "--run-ids", "a,b", "--json", *TABLE_ONLY))
    assert [
        "only those on 240 windows of 64 tokens count" in each
        for each in found["remarks"]
        if "b: its first evaluations" in each
    ] == [True]


def test_numbers_and_their_differences_from_the_first_run(runs_dir: Any, tp: Tp) -> None:
    finished_run(runs_dir, "a", rows=evaluated(1.5, 2.0, 4.0), parameters=1000)
    finished_run(runs_dir, "b", rows=evaluated(1.0, 1.75, 3.0), parameters=1500, seed=2)
    ended = tp("compare", "--run-ids", "a,b", "--no-group", *TABLE_ONLY)
    assert line(ended, "parameters") == ["1.00k", "1.50k"]
    assert line(ended, "  Δ") == ["+500 (+50%)"]
    assert line(ended, "best val loss") == ["2.0000", "1.7500"]
    assert "-0.2500 (-12.5%)" in ended.out
    assert line(ended, "gap val - train") == ["0.5000", "0.7500"]
    assert line(ended, "best bits/byte") == ["4.0000", "3.0000"]
    assert line(ended, "best perplexity") == ["7.389", "5.755"]
    (first, other) = document(
        tp("compare", "--run-ids", "a,b", "--no-group", "--json", *TABLE_ONLY)
    )["columns"]
    assert first["deltas"] == {}
    assert other["deltas"]["best_val_loss"] == {
        "difference": -0.25,
        "percent": -12.5,
        "standard_error": None,
        "p_value": None,
    }


def test_seeds_of_one_configuration_become_a_mean_with_its_error(runs_dir: Any, tp: Tp) -> None:
    for seed, loss in ((1, 2.0), (2, 3.0), (3, 4.0)):
        finished_run(runs_dir, f"wide-s{seed}", loss, seed=seed)
    for seed, loss in ((1, 1.0), (2, 2.0)):
        finished_run(runs_dir, f"deep-s{seed}", loss, seed=seed, model={"n_layer": 4})
    # The groups are found whatever the order of the runs.
    names = "wide-s1,deep-s1,wide-s2,deep-s2,wide-s3"
    ended = tp("compare", "--run-ids", names, *TABLE_ONLY)
    assert "wide-{s1,s2,s3}" in ended.out
    assert line(ended, "runs (n)") == ["3", "2"]
    assert line(ended, "train.runtime.seed") == ["1, 2, 3", "1, 2"]
    # s = 1 and n = 3; s² = 1/2 and n = 2. The difference: sqrt(1/3 + 1/4).
    assert line(ended, "best val loss") == ["3.0000 ± 0.5774", "1.5000 ± 0.5000"]
    assert "-1.5000 ± 0.7638 (-50%)" in ended.out
    # t = 1.96 with 2.9 degrees of freedom.
    assert "wide-{s1,s2,s3} (3 seeds) are not distinguishable" in ended.out
    assert "Welch's t-test over 2 and 3 seeds, p = 0.15" in ended.out

    found = document(tp("compare", "--run-ids", names, "--json", *TABLE_ONLY))
    losses = {run["run_id"]: run["measures"]["best_val_loss"] for run in found["runs"]}
    assert losses == {
        "wide-s1": 2.0, "wide-s2": 3.0, "wide-s3": 4.0, "deep-s1": 1.0, "deep-s2": 2.0
    }  # fmt: skip
    wide, deep = found["columns"]
    assert wide["measures"]["best_val_loss"] == {
        "mean": 3.0,
        "standard_error": pytest.approx(1 / math.sqrt(3)),
        "n": 3,
    }
    assert deep["deltas"]["best_val_loss"]["standard_error"] == pytest.approx(math.sqrt(7 / 12))


def test_single_runs_show_no_error_and_no_group_keeps_them_single(runs_dir: Any, tp: Tp) -> None:
    for seed in (1, 2):
        finished_run(runs_dir, f"s{seed}", seed=seed)
    assert "±" in tp("compare", "--run-ids", "s1,s2", *TABLE_ONLY).out
    ended = tp("compare", "--run-ids", "s1,s2", "--no-group", *TABLE_ONLY)
    assert "±" not in ended.out
    assert line(ended, "train.runtime.seed") == ["1", "2"]


def test_a_run_that_has_not_finished_enters_no_mean_and_says_its_state(
    runs_dir: Any, tp: Tp
) -> None:
    for seed, state in ((1, "finished"), (2, "finished"), (3, "stopped")):
        finished_run(runs_dir, f"s{seed}", seed=seed, state=state)
    failed = finished_run(runs_dir, "s4", seed=4, state="running")
    append_rows(failed, [status_row(101, "failed", error="loss is \x1b[31mnan")])
    finished_run(runs_dir, "s5", seed=5, state="running")
    ended = tp("compare", "--run-ids", "s1,s2,s3,s4,s5", *TABLE_ONLY)
    assert line(ended, "state") == ["finished", "stopped", "failed", "interrupted"]
    assert line(ended, "runs (n)") == ["2", "1", "1", "1"]
    assert "s4 is failed: loss is ␛[31mnan" in ended.out
    assert "s5 is interrupted" in ended.out


def test_a_repeated_seed_is_kept_out_of_the_mean(runs_dir: Any, tp: Tp) -> None:
    for name, seed in (("x", 1), ("again", 1), ("y", 2)):
        finished_run(runs_dir, name, seed=seed)
    ended = tp("compare", "--run-ids", "x,again,y", *TABLE_ONLY)
    assert line(ended, "runs (n)") == ["2", "1"]
    assert "again repeats a seed" in ended.out


def test_across_tokenizers_only_bits_per_byte_compare(runs_dir: Any, tp: Tp) -> None:
    finished_run(runs_dir, "a", 2.0)
    finished_run(runs_dir, "b", 3.0, alphabet="abcd", fingerprint="e" * 64)
    ended = tp("compare", "--run-ids", "a,b", *TABLE_ONLY)
    assert line(ended, "best perplexity") == ["–", "–"]
    assert line(ended, "best val loss") == ["2.0000", "3.0000"]
    assert "another tokenizer than a: b." in ended.out
    assert "The datasets differ" in ended.out
    (_, other) = document(tp("compare", "--run-ids", "a,b", "--json", *TABLE_ONLY))["columns"]
    assert "best_bits_per_byte" in other["deltas"]
    assert "best_val_loss" not in other["deltas"]


def test_perplexities_show_where_the_tokenizer_is_the_first_ones(runs_dir: Any, tp: Tp) -> None:
    finished_run(runs_dir, "a")
    finished_run(runs_dir, "b", alphabet="xyz", fingerprint="e" * 64)
    # The same tokenizer over another text: its losses compare, on another validation text.
    finished_run(runs_dir, "c", fingerprint="d" * 64)
    ended = tp("compare", "--run-ids", "a,b,c", *TABLE_ONLY)
    assert line(ended, "best perplexity") == ["7.389", "–", "7.389"]


def test_a_tokenizer_that_is_lost_is_known_by_the_dataset_or_not_at_all(
    runs_dir: Any, tp: Tp
) -> None:
    finished_run(runs_dir, "a")
    finished_run(runs_dir, "b", alphabet=None)
    finished_run(runs_dir, "c", alphabet=None, fingerprint=None)
    assert line(tp("compare", "--run-ids", "a,b", *TABLE_ONLY), "best perplexity") == [
        "7.389",
        "7.389",
    ]
    ended = tp("compare", "--run-ids", "a,c", *TABLE_ONLY)
    assert line(ended, "best perplexity") == ["–", "–"]
    assert "perhaps another tokenizer than a: c." in ended.out


def test_other_machines_and_software_are_named(runs_dir: Any, tp: Tp) -> None:
    here = {"host": "one", "threads": 2, "packages": {"torch": "2.15.0"}}
    finished_run(runs_dir, "a", environment=here)
    finished_run(runs_dir, "b", environment={**here, "host": "two", "threads": 4})
    ended = tp("compare", "--run-ids", "a,b", *TABLE_ONLY)
    assert "(host one / two; threads 2 / 4)" in ended.out
    finished_run(runs_dir, "c", environment=here, model={"n_layer": 3})
    assert "environments" not in tp("compare", "--run-ids", "a,c", *TABLE_ONLY).out


@pytest.mark.parametrize(
    ("rows", "remark"),
    [
        ([], "has no evaluation yet"),
        ([train_row(5)], "has no evaluation yet"),
        ([eval_row(5, None)], "no evaluation with a finite validation loss"),
        ([eval_row(5, 2.0), eval_row(6, None)], "its last evaluation is not finite"),
        ([{"event": "eval", "step": 5, "val_loss": 2.0}], "lack train_loss, val_bits_per_byte"),
        ([{"event": "train", "step": 5, "train_loss": 2.0}], "lack tokens_per_sec, tokens_seen"),
        (
            [{**eval_row(5, 2.0), "val_loss": "2"}, {**eval_row(9, 2.0), "val_loss": [1]}],
            "finite validation",
        ),
    ],
)
def test_what_was_not_measured_is_a_dash_and_a_word(
    runs_dir: Any, tp: Tp, rows: list[dict[str, Any]], remark: str
) -> None:
    finished_run(runs_dir, "a")
    finished_run(runs_dir, "b", rows=rows)
    ended = tp("compare", "--run-ids", "a,b", *TABLE_ONLY)
    assert line(ended, "gap val - train")[1] == "–"
    assert remark in ended.out
    document(tp("compare", "--run-ids", "a,b", "--json", *TABLE_ONLY))


def test_a_list_of_runs_and_a_comparison_tell_the_same_throughput(runs_dir: Any, tp: Tp) -> None:
    rates = [1.0, 900.0, 500.0, 9_000.0]
    rows = [train_row(step, tokens_per_sec=rate) for step, rate in enumerate(rates)]
    finished_run(runs_dir, "a", rows=rows)
    finished_run(runs_dir, "b", rows=rows[1:])
    listed = {row["run_id"]: row["tokens_per_second"] for row in tp("runs", "--json").lines[0]}
    assert listed == {"a": 700.0, "b": 900.0}
    assert line(tp("compare", "--run-ids", "a,b", *TABLE_ONLY), "tokens/s")[:2] == ["700", "900"]
    assert "700 tokens/s" in tp("runs", "show", "a").out


def test_torn_and_foreign_metrics_rows_are_ignored(runs_dir: Any, tp: Tp) -> None:
    finished_run(runs_dir, "a")
    torn = finished_run(runs_dir, "b", 1.25, seed=2)
    with torn.metrics_path.open("ab") as file:
        file.write(b'{"event": "eval", "step": 101, "val_loss": NaN, "train_loss": 1e999}\n')
        file.write(b'\xff\xfe not a row\n{"event": "eval", "st')
    ended = tp("compare", "--run-ids", "a,b", "--no-group", *TABLE_ONLY)
    assert line(ended, "best val loss") == ["2.0000", "1.2500"]
    assert line(ended, "final val loss") == ["2.0000", "–"]
    empty = finished_run(runs_dir, "c")
    empty.metrics_path.write_bytes(b"")
    assert line(tp("compare", "--run-ids", "a,c", *TABLE_ONLY), "steps") == ["100", "–"]


def test_settings_that_are_no_json_numbers_still_make_json(runs_dir: Any, tp: Tp) -> None:
    finished_run(runs_dir, "a", model={"init_std": 0.02})
    wild = finished_run(runs_dir, "b", model={"init_std": 0.03, "list": [1]})
    text = wild.config_path.read_text().replace("0.03", "NaN").replace("[1]", "[1e999]")
    wild.config_path.write_text(text.replace("1234", "1" * 400))
    document(tp("compare", "--run-ids", "a,b", "--json", *TABLE_ONLY))
    assert line(tp("compare", "--run-ids", "a,b", *TABLE_ONLY), "model.init_std") == ["0.02", "nan"]


def test_runs_that_were_moved_compare_as_before(runs_dir: Any, tp: Tp, project: Project) -> None:
    for seed in (1, 2):
        finished_run(runs_dir, f"s{seed}", seed=seed)
    before = tp("compare", "--run-ids", "s1,s2", "--json", *TABLE_ONLY)
    elsewhere = project.root / "elsewhere"
    shutil.move(runs_dir, elsewhere)
    after = tp("compare", "--runs-dir", elsewhere, "--run-ids", "s1,s2", "--json", *TABLE_ONLY)
    assert document(after) == document(before)


def test_runs_are_named_as_everywhere_and_the_option_repeats(runs_dir: Any, tp: Tp) -> None:
    finished_run(runs_dir, "first-run", 3.0)
    finished_run(runs_dir, "second-run", 2.0, seed=2)
    ended = tp(
        "compare", "--run-ids", "fir", "--run-ids", "tiny@best", "--json", "--no-group", *TABLE_ONLY
    )
    assert [run["run_id"] for run in document(ended)["runs"]] == ["first-run", "second-run"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--run-ids", "a"), "tp runs show a"),
        (("--run-ids", "a,a"), "given twice"),
        (("--run-ids", "a,nobody"), "nobody"),
        (("--run-ids", ","), "No run is given"),
        (("--run-ids", "a,b", "--json", "--csv"), "mutually exclusive"),
        (("--run-ids", "a,b", "--prompt", "x", "--unconditional"), "mutually exclusive"),
        (("--run-ids", "a,b", "--csv", "--n-samples", 2), "cannot contain samples"),
        (("--run-ids", "a,b", "--n-samples", 0, "--seed", 1), "draws nothing"),
        (("--run-ids", "a,b", "--top-p", 0), "top_p"),
    ],
)
def test_a_wrong_command_is_refused_in_one_sentence(
    runs_dir: Any, tp: Tp, words: tuple[Any, ...], expected: str
) -> None:
    finished_run(runs_dir, "a")
    finished_run(runs_dir, "b")
    ended = tp("compare", *words)
    assert ended.code == 2
    assert expected in ended.err
    assert ended.out == ""


def test_csv_has_one_row_for_each_run_at_full_precision(runs_dir: Any, tp: Tp) -> None:
    model = {"note": 'a "b", c', "formula": "=1+1", "name": "x\ny\x1b"}
    finished_run(runs_dir, "a", 1 / 3, model=model)
    finished_run(runs_dir, "b", 2 / 3, seed=2, model={**model, "note": "z", "formula": "@x"})
    finished_run(runs_dir, "c", None, seed=3, model={**model, "name": "-y"})
    ended = tp("compare", "--run-ids", "a,b,c", "--csv")
    assert ended.code == 0, ended.err
    first, second, third = csv.DictReader(io.StringIO(ended.out))
    assert float(first["best_val_loss"]) == 1 / 3
    assert float(second["best_val_loss_delta"]) == 2 / 3 - 1 / 3
    assert float(second["best_val_loss_delta_percent"]) == pytest.approx(100)
    assert third["best_val_loss"] == third["best_val_loss_delta"] == ""
    assert first["config.model.note"] == 'a "b", c'
    assert [row["config.model.formula"] for row in (first, second)] == ["'=1+1", "'@x"]
    assert first["config.model.name"] == "x␊y␛"
    assert third["config.model.name"] == "'-y"
    assert "c has no evaluation with a finite" in ended.err


def test_markdown_is_one_whole_table_whatever_the_values_hold(runs_dir: Any, tp: Tp) -> None:
    hostile = "a|b\\|c`d`<b>*e*\n[f](g)_h_"
    finished_run(runs_dir, "a", model={"name": hostile})
    finished_run(runs_dir, "b", 1.5, seed=2, model={"name": "x_y"})
    ended = tp("compare", "--run-ids", "a,b", "--markdown", *TABLE_ONLY)
    rows = [split_markdown(text) for text in ended.out.splitlines() if text.startswith("|")]
    assert [row[0] for row in rows[:4]] == ["run", ":--", "b", "a"]
    rows = rows[4:]
    assert {len(row) for row in rows} == {3}
    assert rows[0] == ["", "a", "b"]
    assert rows[1] == [":--", "--:", "--:"]
    (name,) = [row for row in rows if row[0] == "model.name"]
    assert name[1:] == [hostile.replace("\n", "␊"), "x_y"]
    assert ["best val loss", "2.0000", "1.5000"] in rows


def split_markdown(text: str) -> list[str]:
    """The cells of a table line, their escapes undone."""
    cells, escaped = [""], False
    for char in text.removeprefix("| ").removesuffix(" |"):
        if escaped or char not in "\\|":
            cells[-1] += char
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            cells.append("")
    return [cell.strip() for cell in cells]


def test_many_runs_stand_one_below_the_other(runs_dir: Any, tp: Tp) -> None:
    names = [f"run-{number:02}" for number in range(24)]
    for number, name in enumerate(names):
        finished_run(runs_dir, name, 2.0 + number, model={"n_layer": number, "[/red]": number})
    ended = tp("compare", "--run-ids", ",".join(names))
    assert ended.code == 0, ended.err
    (verdict, heading, *lines) = [each for each in ended.out.splitlines() if each]
    assert verdict.startswith("run-00 is lowest: val loss 2.0000, 1.0000 (33.3%) below run-01; ")
    assert heading.count("best val loss") == 1
    assert [each.split()[0] for each in lines[:24]] == names
    assert lines[1].count("+1.0000 ✗") == 2
    assert "--n-samples 3" in ended.err
    assert len(document(tp("compare", "--run-ids", ",".join(names), "--json"))["runs"]) == 24


def test_hostile_settings_notes_and_experiments_never_reach_the_terminal(
    runs_dir: Any, tp: Tp
) -> None:
    hostile = "[/red]\x1b]0;title\x07\x9b31m\u202e" + "x" * 10_000
    for number, name in enumerate("abcde"):
        finished_run(
            runs_dir, name, experiment=hostile + name, model={hostile: f"{hostile}{number}"}
        )
    for words in (("a,b",), ("a,b,c,d,e",), ("a,b", "--csv"), ("a,b", "--markdown")):
        ended = tp("compare", "--run-ids", *words)
        assert ended.code == 0, ended.err
        assert not set("\x1b\x07\x9b\u202e") & set(ended.out + ended.err)
    assert "␛\\]0;title␇" in ended.out
    found = document(tp("compare", "--run-ids", "a,b", "--json"))
    assert found["runs"][0]["experiment"] == hostile + "a"


def test_the_remarks_in_json_are_those_of_the_table(runs_dir: Any, tp: Tp) -> None:
    finished_run(runs_dir, "a")
    finished_run(runs_dir, "b", rows=[])
    found = document(tp("compare", "--run-ids", "a,b", "--json", *TABLE_ONLY))
    ended = tp("compare", "--run-ids", "a,b", *TABLE_ONLY)
    assert found["remarks"]
    assert ended.out.endswith("\n".join(found["remarks"]) + "\n")
    assert json.dumps(found["sampling"]) == "null"


def test_sentences_break_between_words_at_the_terminals_width(
    runs_dir: Any, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, run_id in enumerate(("a", "b", "c")):
        finished_run(runs_dir, run_id, seed=seed, model={"n_layer": 2 if run_id != "c" else 3})
    piped = tp("compare", "--run-ids", "a,b,c", *TABLE_ONLY)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    monkeypatch.setenv("COLUMNS", "60")
    watched = tp("compare", "--run-ids", "a,b,c", *TABLE_ONLY)
    (sentence,) = [each for each in piped.out.splitlines() if each.startswith("Groups are")]
    assert len(sentence) > 60
    assert sentence in " ".join(watched.out.split())
    assert "are not distinguishable" in watched.out
    below_the_table = watched.out.split("\n\n")[-1]
    assert max(map(len, below_the_table.splitlines())) <= 60
