"""`tp report`: what it prints, what it writes, and what it says when something is wrong."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from builders.commands import CONTROL, Ended, Project, Tp
from builders.disks import WatchedDisk, refuse_from
from builders.schemas import check
from transformer_playground.errors import RunError
from transformer_playground.report.build import make_report, write_report
from transformer_playground.report.render import WIDTH
from transformer_playground.report.request import ReportRequest, resolve_report
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation_request import SampleRequest

FEW = ("--n-samples", 4, "--max-new-tokens", 30)
FIRST = ("report", "--run-id", "first", *FEW)
HOSTILE = "\x1b]52;c;cm0=\x07\x1b[31m\x9b31m\x7f\u202eabc\u2066\x08\u2028"


def document(ended: Ended) -> Any:
    assert ended.code == 0, ended.err
    (printed,) = ended.lines
    check("report", printed)
    return printed


def reports(project: Project) -> list[Path]:
    return sorted(project.run_named("first").reports.glob("report-*"))


def test_a_report_is_printed_for_people_and_written_for_programs(trained: Project, tp: Tp) -> None:
    ended = tp(*FIRST)
    assert ended.code == 0, ended.err
    assert "Report on first" in ended.out
    assert "validation, whole split" in ended.out
    assert "4 samples of up to 30 tokens, no prompt" in ended.out
    assert max(map(len, ended.out.splitlines())) <= WIDTH
    (path,) = reports(trained)
    assert path.name in ended.err
    assert path.name.startswith("report-best_val-20")
    check("report", json.loads(path.read_bytes()))


def test_json_prints_the_document_that_is_written(trained: Project, tp: Tp) -> None:
    printed = document(tp(*FIRST, "--json"))
    (path,) = reports(trained)
    assert json.loads(path.read_bytes()) == printed
    assert printed["missing"] == []
    assert (printed["run_id"], printed["experiment"]) == ("first", "tiny")


def test_markdown_is_written_beside_it(trained: Project, tp: Tp) -> None:
    ended = tp(*FIRST, "--markdown")
    assert ended.code == 0, ended.err
    data, text = reports(trained)
    assert (data.suffix, text.suffix) == (".json", ".md")
    assert "| validation, whole split |" in text.read_text()


def test_settings_that_are_left_out_are_the_runs_and_stated_ones_hold(
    trained: Project, tp: Tp
) -> None:
    alone = document(tp("report", "--run-id", "fi", "--json"))["sampling"]
    assert (alone["n_samples"], alone["max_new_tokens"]) == (200, 40)
    assert (alone["unconditional"], alone["temperature"]) == (True, 0.8)
    flags = ["--temperature", 0.5, "--top-k", 3, "--top-p", 0.9, "--seed", 7, "--prompt", "2 b"]
    stated = document(tp(*FIRST, *flags, "--json"))["sampling"]
    assert (stated["n_samples"], stated["max_new_tokens"]) == (4, 30)
    assert (stated["temperature"], stated["top_k"], stated["top_p"]) == (0.5, 3, 0.9)
    assert (stated["seed"], stated["prompt"], stated["unconditional"]) == (7, "2 b", False)


def test_the_checkpoint_can_be_chosen(trained: Project, tp: Tp) -> None:
    last = document(tp(*FIRST, "--checkpoint", "last", "--json"))
    assert last["checkpoint"]["file"] == "last.pt"
    ended = tp(*FIRST, "--checkpoint", "nothing.pt")
    assert ended.code == 1
    assert "Checkpoints there: " in ended.err


def test_a_part_of_the_split_can_be_evaluated(trained: Project, tp: Tp) -> None:
    text = document(tp(*FIRST, "--json"))["evaluation"]["full_validation"]
    part = document(tp(*FIRST, "--json", "--eval-batches", 1))["evaluation"]["full_validation"]
    assert part["tokens"] < text["tokens"]
    assert part["share"] < text["share"] == 1


def test_a_moved_run_folder_is_reported_without_its_dataset_and_with_it_again(
    trained: Project, tp: Tp, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(trained.root / "runs", elsewhere)
    config = RunFolder(elsewhere / "first").config_path
    record = json.loads(config.read_bytes())
    record["config"]["prepare"]["dataset_dir"] = str(trained.experiment / "datasets")
    config.write_text(json.dumps(record))
    (trained.root / "experiments").rename(tmp_path / "kept")
    words = (*FIRST, "--runs-dir", elsewhere)
    ended = tp(*words)
    assert ended.code == 0, ended.err
    assert "Missing" in ended.out
    assert "There is no prepared dataset at" in " ".join(ended.out.split())
    assert "--dataset" in ended.out
    assert document(tp(*words, "--json"))["texts"]["validation"] is None
    whole = document(tp(*words, "--json", "--dataset", tmp_path / "kept/tiny/datasets"))
    assert whole["missing"] == []
    assert document(tp(*words, "--json", "--experiments-dir", tmp_path / "kept"))["missing"] == []
    wrong = tp(*words, "--dataset", tmp_path / "nowhere")
    assert wrong.code == 1
    assert "nowhere" in wrong.err
    assert wrong.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--run-id", "fist"], "Nearest: first"),
        (["--run-id", "first", "--n-samples", "0"], "n-samples"),
        (["--run-id", "first", "--top-p", "2"], "top_p"),
        (["--run-id", "first", "--prompt", "a", "--unconditional"], "mutually exclusive"),
        (["--run-id", "first", "--prompt", "§"], "lacks '§'"),
        ([], "--run-id"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(
    trained: Project, tp: Tp, words: list[str], said: str
) -> None:
    ended = tp("report", *words)
    assert ended.code in (1, 2)
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert reports(trained) == []


def test_a_run_without_checkpoint_is_told_so(trained: Project, tp: Tp) -> None:
    shutil.rmtree(trained.run_named("first").checkpoints)
    ended = tp(*FIRST)
    assert ended.code == 1
    assert "no checkpoint" in ended.err


def test_a_report_that_cannot_be_written_is_still_printed(trained: Project, tp: Tp) -> None:
    run = trained.run_named("first")
    shutil.rmtree(run.reports)
    run.reports.write_text("in the way")
    ended = tp(*FIRST)
    assert ended.code == 1
    assert "Report on first" in ended.out
    assert "could not be written" in ended.err


def test_the_prompt_may_come_from_standard_input(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"9 bot")))
    flags = ("--n-samples", 2, "--max-new-tokens", 5, "--json")
    (found,) = tp(*FIRST, "--prompt", "-", *flags).lines
    assert (found["sampling"]["prompt"], found["sampling"]["unconditional"]) == ("9 bot", False)


def test_a_disk_that_fills_at_any_moment_leaves_no_partial_report(trained: Project) -> None:
    run = trained.run_named("first")
    made = make_report(
        resolve_report(run, ReportRequest(SampleRequest(n_samples=2, max_new_tokens=5)))
    )
    with WatchedDisk(run.reports) as disk:
        write_report(run, made, markdown=True)
    assert disk.operations > 4
    for number in range(1, disk.operations + 1):
        shutil.rmtree(run.reports)
        run.reports.mkdir()
        with (
            WatchedDisk(run.reports, refuse_from(number)),
            pytest.raises(RunError, match="could not be written"),
        ):
            write_report(run, made, markdown=True)
        for path in run.reports.iterdir():
            if path.suffix == ".json":
                check("report", json.loads(path.read_bytes()))
            elif path.suffix == ".md":
                assert path.read_text().endswith("\n")


def test_escape_sequences_in_samples_do_not_reach_the_terminal(project: Project, tp: Tp) -> None:
    project.raw.write_text((HOSTILE + "1 [/red] | <b> `bottle`\n") * 60, encoding="utf-8")
    flags = ["--set", "train.runtime.max_iters=60", "--set", "train.optim.learning_rate=1e-2"]
    assert tp("loop", "tiny", "--run-id", "first", *flags).code == 0
    ended = tp("report", "--run-id", "first", "--markdown", "--prompt", HOSTILE)
    assert ended.code == 0, ended.err
    assert "␛" in ended.out
    data, text = reports(project)
    for shown in (ended.out, ended.err, text.read_text(), data.read_text()):
        assert CONTROL.search(shown) is None
    examples = document(tp("report", "--run-id", "first", *FEW, "--json"))["texts"]["examples"]
    assert any(CONTROL.search(example) for example in examples), "too tame to show anything"


def test_a_hostile_run_name_stays_text(trained: Project, tp: Tp) -> None:
    ended = tp("report", "--run-id", HOSTILE)
    assert ended.code == 2
    assert CONTROL.search(ended.out + ended.err) is None
    name = "a" + "b" * 90
    trained.run_named("first").root.rename(trained.run_named(name).root)
    assert tp("report", "--run-id", name, *FEW).code == 0


def test_the_dataset_of_a_loose_file_is_prepared_again_by_the_command_in_the_hint(
    trained: Project, tp: Tp
) -> None:
    loose = trained.root / "loose"
    loose.mkdir()
    (loose / "my.toml").write_bytes((trained.experiment / "config.toml").read_bytes())
    shutil.copytree(trained.experiment / "raw", loose / "raw")
    setting = ("--set", "prepare.val_fraction=0.2")
    words = ("loop", "--config", "loose/my.toml", *setting, "--run-id", "own")
    assert tp(*words).code == 0
    shutil.rmtree(loose / "datasets")
    command = "tp prepare --config loose/my.toml --set prepare.val_fraction=0.2"
    assert command in " ".join(tp("report", "--run-id", "own", "--n-samples", "2").out.split())
    assert f"Prepare it again: {command}" in tp("train", "--resume", "own").err
    assert tp(*command.split()[1:]).code == 0
    report = document(tp("report", "--run-id", "own", "--json", "--n-samples", "2"))
    assert report["missing"] == []
