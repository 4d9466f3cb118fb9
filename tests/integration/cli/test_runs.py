"""`tp runs` and what can be done with runs, as a user types it."""

import io
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from builders.commands import CONTROL, Ended, Project, Tp
from builders.runs import append_rows, eval_row, make_run, status_row, train_row, write_writer
from builders.schemas import check

HOSTILE = "[/red]\x1b]0;owned\x07\u202e" + "x" * 9_000


@pytest.fixture
def runs_dir(project: Project) -> Path:
    """Three small runs, of which one failed and one never began."""
    folder = project.root / "runs"
    rows = [train_row(30), eval_row(30, 1.5, val_bits_per_byte=2.5), status_row(30, "finished")]
    for day, (name, norm) in enumerate((("alpha", "rmsnorm"), ("beta", "layernorm")), start=1):
        run = make_run(
            folder,
            name,
            created=f"2026-01-0{day}T00:00:00+00:00",
            config={"model": {"norm": norm}, "train": {"runtime": {"max_iters": 100, "seed": 7}}},
            provenance={"model.norm": "--set"},
            dataset={"fingerprint": "ab" * 32, "train_tokens": 900, "vocab_size": 65},
            environment={"device": "cpu", "git": {"commit": "c0ffee", "dirty": True}},
        )
        append_rows(run, rows if name == "alpha" else [status_row(1, "failed", error="nan loss")])
    make_run(folder, "gamma", created="2026-01-03T00:00:00+00:00")
    return folder


def ids(ended: Ended) -> list[str]:
    assert ended.code == 0, ended.err
    (document,) = ended.lines
    check("runs", document)
    return [row["run_id"] for row in document]


def done(ended: Ended) -> Any:
    assert ended.code == 0, ended.err
    (document,) = ended.lines
    check("runs-change", document)
    return document


def refused(ended: Ended, *said: str) -> None:
    assert ended.code in (1, 2)
    assert ended.out == ""
    assert "Traceback" not in ended.err
    for text in said:
        assert text in ended.err


def test_branches_are_listed_below_their_parent_and_say_where_they_started(
    tp: Tp, runs_dir: Path
) -> None:
    make_run(runs_dir, "twig", parent={"run_id": "alpha", "step": 20})
    listed = tp("runs", "--tree", "--columns", "run,from", "--sort", "run")
    assert listed.out.splitlines()[1:5] == ["alpha", "└ twig  alpha @ 20", "beta", "gamma"]
    assert "alpha @ 20" in tp("runs").out
    assert "branch of     alpha @ 20" in tp("runs", "show", "twig").out
    (document,) = tp("runs", "from:alpha", "--json").lines
    assert [row["parent"] for row in document] == [{"run_id": "alpha", "step": 20}]
    refused(tp("runs", "--tree", "--json"), "--tree")


@pytest.mark.usefixtures("runs_dir")
def test_runs_lists_by_default_and_by_name(tp: Tp) -> None:
    assert ids(tp("runs", "--json")) == ids(tp("runs", "list", "--json"))
    assert ids(tp("runs", "--json")) == ["gamma", "beta", "alpha"]
    assert "Usage: tp runs" in tp("runs", "--help").out
    assert "--columns" in tp("runs", "list", "--help").out


def test_runs_that_nobody_named_are_listed_with_the_name_that_the_console_gives_them(
    tp: Tp, runs_dir: Path
) -> None:
    assert "name" not in tp("runs").out.split()
    for number, norm in enumerate(("rmsnorm", "layernorm")):
        run_id = f"tiny-2026010{number}-100000-000{number}"
        make_run(runs_dir, run_id, config={"model": {"norm": norm, "n_layer": 2}})
    header, *rows = tp("runs", "tiny-2026", "--sort", "run").out.splitlines()
    assert header.split()[:3] == ["run", "name", "status"]
    assert [row.split()[1] for row in rows[:2]] == ["rmsnorm", "layernorm"]
    for words in (["layernorm"], ["name:layernorm"]):
        (document,) = tp("runs", *words, "-model.norm=none", "--json").lines
        names = {row["run_id"]: row["name"] for row in document}
        assert names["tiny-20260101-100000-0001"] == "layernorm n_layer=2"
    (document,) = tp("runs", "alpha", "--json").lines
    assert document[0]["name"] == "alpha"
    shown = tp("runs", "tiny-2026", "--columns", "name", "--sort", "-name").out.split()
    assert shown == ["name", "rmsnorm", "n_layer=2", "layernorm", "n_layer=2"]


@pytest.mark.usefixtures("runs_dir")
def test_filters_sorts_and_limits_apply(tp: Tp) -> None:
    assert ids(tp("runs", "status:finished", "--json")) == ["alpha"]
    assert ids(tp("runs", "-status:finished", "--json")) == ["gamma", "beta"]
    assert ids(tp("runs", "model.norm=rmsnorm val_loss<2", "--json")) == ["alpha"]
    assert ids(tp("runs", "al", "pha", "--json")) == ["alpha"]
    assert ids(tp("runs", "alpha|gamma", "--json")) == ["gamma", "alpha"]
    assert ids(tp("runs", "alpha", "|", "gamma", "--json")) == ["gamma", "alpha"]
    assert ids(tp("runs", "norm=rmsnorm", "--json")) == ["alpha"]
    assert ids(tp("runs", "--sort", "val_loss", "--json"))[0] == "alpha"
    assert ids(tp("runs", "--sort", "-run", "--limit", 2, "--json")) == ["gamma", "beta"]
    assert ids(tp("runs", "--reverse", "--json")) == ["alpha", "beta", "gamma"]
    limited = tp("runs", "--limit", 1)
    assert "gamma" in limited.out
    assert "alpha" not in limited.out
    assert "2 more" in limited.err
    assert "None of the 3 runs" in tp("runs", "nothing-like-it").out


@pytest.mark.usefixtures("runs_dir")
def test_columns_are_those_asked_for(tp: Tp) -> None:
    plain = tp("runs", "--columns", "run,val_loss,model.norm", "--sort", "run").out.splitlines()
    assert plain[0].split() == ["run", "val", "loss", "model.norm"]
    assert plain[1].split() == ["alpha", "1.5000", "rmsnorm"]
    assert plain[2].split() == ["beta", "layernorm"]
    assert "beta: nan loss" in plain
    refused(tp("runs", "--columns", "run", "--json"), "cannot be combined with --json")
    refused(tp("runs", "--columns", " , "), "--columns is empty")
    refused(tp("runs", "--columns", "run,nrom"), "nrom")


@pytest.mark.usefixtures("runs_dir")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs", "vel_loss<1"], "val_loss"),
        (["runs", "--sort", "model.nrom"], "model.norm"),
        (["runs", "--sotr", "run"], "--sotr"),
        (["runs", "--limit", "0"], "--limit"),
        (["runs", "--deleted", "word"], "--deleted"),
        (["runs", "show", "alhpa"], "alpha"),
        (["runs", "show"], "ID"),
        (["runs", "delete"], "ID"),
        (["runs", "delete", "alpha", "nobody"], "nobody"),
        (["runs", "delete", "alpha", "al"], "twice"),
        (["runs", "rename", "alpha", "beta"], "already"),
        (["runs", "rename", "alpha", "../x"], "not a valid run ID"),
        (["runs", "restore", "alpha"], "no deleted run"),
        (["runs", "note", "alpha", "x", "--clear"], "--clear"),
        (["runs", "note", "alpha", "x" * 10_001], "10,001"),
        (["runs", "tag", "alpha", "--bogus"], "--bogus"),
        (["runs", "tag", "alpha", "+a", "-a"], "both"),
        (["runs", "tag", "alpha", "[/red]"], "[/red]"),
    ],
)
def test_wrong_words_are_refused_and_change_nothing(
    project: Project, tp: Tp, words: list[str], said: str
) -> None:
    before = project.files()
    refused(tp(*words), said)
    after = project.files()
    after.pop("runs/.index.json", None)
    before.pop("runs/.index.json", None)
    assert after == before


def test_without_runs_every_command_says_so(tp: Tp) -> None:
    assert "tp loop" in tp("runs", "status:running").out
    assert "empty" in tp("runs", "deleted").out
    for verb in ("show", "note", "tag", "delete"):
        refused(tp("runs", verb, "x"), "no run 'x'")
    refused(tp("runs", "rename", "x", "y"), "no run 'x'")


def test_show_prints_every_section(runs_dir: Path, tp: Tp) -> None:
    (runs_dir / "alpha" / "reports" / "loss.svg").write_text("<svg/>")
    tp("runs", "note", "alpha", "the first\nand best")
    tp("runs", "tag", "alpha", "fast")
    shown = tp("runs", "show", "al").out
    for text in (
        "✓ finished",
        "30/100",
        "1.5000 at step 30",
        "2.5000",
        "1.23k",
        "model.norm",
        "rmsnorm",
        "--set",
        "loss.svg",
        "fast",
        "  the first\n  and best",
        "900",
        "c0ffee (with uncommitted changes)",
    ):
        assert text in shown
    (document,) = tp("runs", "show", "alpha", "--json").lines
    check("runs-show", document)
    assert document["changed"] == [{"key": "model.norm", "value": "rmsnorm", "origin": "--set"}]
    assert document["reports"][0]["name"] == "loss.svg"
    assert (document["seed"], document["bits_per_byte"]) == (7, 2.5)
    failed = tp("runs", "show", "beta").out
    assert "✗ failed" in failed
    assert "nan loss" in failed


def test_show_flags_damaged_checkpoints(trained: Project, tp: Tp) -> None:
    run = trained.run_named("first")
    (damaged,) = run.checkpoints.glob("ckpt_last_*20.pt")
    content = bytearray(damaged.read_bytes())
    damaged.unlink()  # its bytes are those of last.pt, which stay whole
    content[100] ^= 1
    damaged.write_bytes(content)
    (document,) = tp("runs", "show", "first", "--json").lines
    check("runs-show", document)
    by_name = {file["name"]: file for file in document["checkpoints"]}
    assert "hash" in by_name[damaged.name]["problem"]
    assert by_name["last.pt"]["problem"] is None
    assert (by_name["last.pt"]["kind"], by_name["last.pt"]["step"]) == ("last", 20)
    assert by_name["best_val.pt"]["metric"] == document["best_val_loss"]
    shown = tp("runs", "show", "first").out
    assert "✗ damaged" in shown
    assert f"{damaged.name}: its content does not match" in shown


def test_show_of_a_broken_folder_shows_what_is_there(runs_dir: Path, tp: Tp) -> None:
    (runs_dir / "alpha" / "config.json").write_bytes(b"{")
    (runs_dir / "alpha" / "notes.json").write_bytes(b"{")
    (runs_dir / "empty").mkdir()
    for name, said in (("alpha", "not valid JSON"), ("empty", "no config.json")):
        ended = tp("runs", "show", name)
        assert ended.code == 0
        assert "? broken" in ended.out
        assert ended.out.count(said) == 1
        (document,) = tp("runs", "show", name, "--json").lines
        check("runs-show", document)
        assert any(said in problem for problem in document["problems"])
    assert "notes.json is damaged" in tp("runs", "show", "alpha").out
    refused(tp("runs", "tag", "alpha", "x"), "damaged")
    assert "damaged" in tp("runs", "tag", "alpha").err
    assert done(tp("runs", "tag", "empty", "x", "--json"))["tags"] == ["x"]
    assert done(tp("runs", "delete", "alpha", "empty", "--json"))["action"] == "delete"


@pytest.mark.usefixtures("runs_dir")
def test_tags_and_notes_are_written_found_and_removed(
    tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert done(tp("runs", "tag", "alpha", "+fast", "old", "--json"))["tags"] == ["fast", "old"]
    assert done(tp("runs", "tag", "alpha", "-old", "base", "--json"))["tags"] == ["fast", "base"]
    assert tp("runs", "tag", "alpha", "--remove", "base").out == "fast\n"
    assert "no tag 'gone'" in tp("runs", "tag", "alpha", "-gone").err
    assert tp("runs", "tag", "alpha").out == "fast\n"
    assert tp("runs", "tag", "beta").out == "(no tags)\n"
    assert ids(tp("runs", "tag:fast", "--json")) == ["alpha"]
    assert "fast" in tp("runs").out

    assert tp("runs", "note", "alpha").out == "(no note)\n"
    tp("runs", "note", "alpha", "worth a look")
    assert tp("runs", "note", "alpha").out == "worth a look\n"
    assert ids(tp("runs", 'note:"a look"', "--json")) == ["alpha"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("zwei\nZeilen ß\n".encode())))
    assert done(tp("runs", "note", "alpha", "-", "--json"))["note"] == "zwei\nZeilen ß"
    assert done(tp("runs", "note", "alpha", "--json"))["tags"] == ["fast"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfa\r\nb\r\n")))
    assert done(tp("runs", "note", "alpha", "-", "--json"))["note"] == "a\nb"
    notes = {"utf-16": "It looks like UTF-16.", "cp1252": "It looks like Windows-1252."}
    for encoding, said in notes.items():
        data = "Größe für den Anfang".encode(encoding)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        refused(tp("runs", "note", "alpha", "-"), "Standard input is not UTF-8", said)
    for data, said in ((b"\xff", "UTF-8"), (b"x" * 50_000, "10,000"), (b"x" * 10_001, "10,001")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        refused(tp("runs", "note", "alpha", "-"), said)
    assert done(tp("runs", "note", "alpha", "--clear", "--json"))["note"] == ""


def test_a_run_of_another_host_is_shown_with_it_and_unlocked(runs_dir: Path, tp: Tp) -> None:
    alpha = make_run(runs_dir, "far", rows=[status_row(0, "running")])
    write_writer(alpha, pid=1234, host="node-7\x1b[2J")
    assert "running, process 1234 on node-7␛[2J\n" in tp("runs", "show", "far").out
    (document,) = tp("runs", "show", "far", "--json").lines
    check("runs-show", document)
    assert (document["pid"], document["host"]) == (1234, "node-7\x1b[2J")

    removed = {"pid": 1234, "host": "node-7\x1b[2J"}
    assert done(tp("runs", "unlock", "far", "--json"))["removed"] == removed
    assert done(tp("runs", "unlock", "far", "--json"))["removed"] is None
    assert tp("runs", "unlock", "far").out == "far is not locked.\n"
    write_writer(alpha, pid=1234, host="node-7\x1b[2J")
    assert tp("runs", "unlock", "far").out.endswith("process 1234 on node-7␛[2J.\n")
    write_writer(alpha)
    shown = tp("runs", "show", "far").out
    assert f"running, process {os.getpid()}\n" in shown
    refused(tp("runs", "unlock", "far", "--json"), f"process {os.getpid()}")
    refused(tp("runs", "unlock", "nowhere"), "nowhere")


def test_runs_are_renamed_deleted_and_restored(runs_dir: Path, tp: Tp) -> None:
    before = {row["run_id"]: row for row in tp("runs", "--json").lines[0]}
    renamed = done(tp("runs", "rename", "alpha", "first", "--json"))
    assert renamed["runs"][0] | {"path": ""} == {
        "run_id": "alpha",
        "new_id": "first",
        "path": "",
        "problem": None,
    }
    assert set(ids(tp("runs", "--json"))) == {"first", "beta", "gamma"}

    gone = tp("runs", "delete", "first", "beta")
    assert "tp runs restore beta" in gone.out
    assert ids(tp("runs", "--json")) == ["gamma"]
    (deleted,) = tp("runs", "deleted", "--json").lines
    check("runs-deleted", deleted)
    assert {run["name"] for run in deleted} == {"first", "beta"}
    # Both show ages, which may differ by a second.
    both = (
        re.sub(r"\b\d+s\b", "AGE", tp(*words).out)
        for words in (("runs", "--deleted"), ("runs", "deleted"))
    )
    assert next(both) == next(both)

    done(tp("runs", "restore", "first", "--as", "alpha", "--json"))
    make_run(runs_dir, "beta")
    refused(tp("runs", "restore", "beta"), "already a run 'beta'", "--as NEW")
    assert done(tp("runs", "restore", "beta", "--as", "beta-2", "--json"))["action"] == "restore"
    after = {row["run_id"]: row for row in tp("runs", "--json").lines[0]}
    assert after["alpha"] == before["alpha"]
    assert after["beta-2"]["problem"] == "nan loss"


def test_a_renamed_run_can_be_sampled_continued_and_moved_elsewhere(
    trained: Project, tp: Tp
) -> None:
    assert tp("runs", "rename", "first", "renamed").code == 0
    assert tp("sample", "renamed").code == 0
    ended = tp("train", "tiny", "--run-id", "renamed", "--set", "train.runtime.max_iters=22")
    assert ended.code == 0, ended.err
    tp("runs", "delete", "renamed")
    tp("runs", "restore", "renamed")
    shutil.move(trained.root / "runs", trained.root / "moved")
    ended = tp("runs", "show", "renamed", "--runs-dir", "moved", "--json")
    check("runs-show", json.loads(ended.out))
    assert ended.lines[0]["step"] == 22
    assert all(file["problem"] is None for file in ended.lines[0]["checkpoints"])


def test_text_from_outside_is_shown_as_symbols_everywhere(runs_dir: Path, tp: Tp) -> None:
    run = make_run(
        runs_dir,
        "hostile",
        [status_row(1, "failed", error=HOSTILE)],
        experiment=HOSTILE,
        config={"model": {"norm": HOSTILE}, HOSTILE: HOSTILE},
        provenance={"model.norm": HOSTILE, HOSTILE: HOSTILE},
        dataset={"fingerprint": HOSTILE},
        environment={HOSTILE: HOSTILE, "device": HOSTILE, "git": {"commit": HOSTILE}},
    )
    (run.reports / "\x1b]0;x\x07[red]").write_text("x")
    (run.checkpoints / "ckpt_last_\x1b[31m.pt").write_bytes(b"x")
    assert tp("runs", "note", "hostile", HOSTILE).code == 0
    argument = HOSTILE[:40]
    for words in (
        ["runs"],
        ["runs", "--columns", "run,experiment,note,problem,model.norm"],
        ["runs", "--sort", "note", "--json"],
        ["runs", "show", "hostile"],
        ["runs", "show", "hostile", "--json"],
        ["runs", "note", "hostile"],
        ["runs", "note", "hostile", "--json"],
        ["runs", argument],
        ["runs", f"{argument}=1"],
        ["runs", f"val_loss<{argument}"],
        ["runs", "--sort", argument],
        ["runs", "--columns", argument],
        ["runs", "show", argument],
        ["runs", "tag", "hostile", argument],
        ["runs", "tag", argument, "x"],
        ["runs", "rename", "hostile", argument],
        ["runs", "delete", "hostile", argument],
        ["runs", "delete", "hostile"],
        ["runs", "deleted"],
        ["runs", "deleted", "--json"],
        ["runs", "restore", argument],
        ["runs", "restore", "hostile", "--as", argument],
        ["runs", "restore", "hostile"],
    ):
        ended = tp(*words)
        assert ended.code in (0, 1, 2), words
        for stream in (ended.out, ended.err):
            found = CONTROL.search(stream)
            assert found is None, (words, found)
    assert "[/red]" in tp("runs", "note", "hostile").out


def test_a_configuration_with_what_json_lacks_is_listed(runs_dir: Path, tp: Tp) -> None:
    config = runs_dir / "alpha" / "config.json"
    text = config.read_text().replace('"rmsnorm"', f"[NaN, -Infinity, 1e999, {10**400}]")
    config.write_text(text)
    (row,) = (row for row in tp("runs", "--json").lines[0] if row["run_id"] == "alpha")
    assert row["settings"]["model.norm"] == [None, None, None, 10**400]
    for words in (["--columns", "run,model.norm"], ["show", "alpha"], ["show", "alpha", "--json"]):
        assert tp("runs", *words).code == 0


def test_alerts_are_listed_of_runs_in_training_of_named_ones_and_of_all(
    project: Project, runs_dir: Path, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformer_playground.runs.alerts.LEAST_FREE", 0)
    assert tp("runs", "alerts").out.strip() == "No run is in training."
    rows = [train_row(step, train_loss=2.0 if step < 40 else 9.0) for step in range(1, 41)]
    run = make_run(runs_dir, "delta", [status_row(0, "running"), *rows])
    write_writer(run)

    def found(*words: str) -> list[tuple[Any, ...]]:
        ended = tp("runs", "alerts", *words, "--json")
        assert ended.code == 0, ended.err
        (document,) = ended.lines
        check("runs-alerts", document)
        return [(row["run_id"], row["kind"], row["step"]) for row in document]

    assert found() == [("delta", "spike", 40)]
    assert found("beta", "alpha") == [("beta", "failed", 1)]
    assert sorted(found("--all")) == [("beta", "failed", 1), ("delta", "spike", 40)]
    shown = tp("runs", "alerts").out
    assert "training loss jumped to 9.0000 from 2.0000" in shown
    assert tp("runs", "alerts", "alpha").out.strip() == "No alerts."
    refused(tp("runs", "alerts", "alpha", "--all"), "--all takes no IDs")
    monkeypatch.setattr("transformer_playground.runs.alerts.LEAST_FREE", 1 << 80)
    (disk,) = found("alpha")
    assert disk == (None, "disk", None)
