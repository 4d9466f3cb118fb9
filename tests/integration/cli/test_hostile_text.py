"""Text from outside never steers a terminal, wherever a command shows it."""

import contextlib
import os
from pathlib import Path

import pytest

from builders.commands import CONTROL, Ended, Project, Tp
from transformer_playground.runs.folder import RunFolder

# Sets the clipboard, sets the title, turns red, C1, DEL, reorders, returns, rings.
HOSTILE = "\x1b]52;c;cm0=\x07\x1b]0;t\x07\x1b[31m\x9b31m\x7f\u202eabc\u2066\r\x08\x00\u2028"
ARGUMENT = HOSTILE.replace("\x00", "")


def assert_harmless(ended: Ended) -> None:
    for stream in (ended.out, ended.err):
        found = CONTROL.search(stream)
        assert found is None, f"{found!r} in {stream!r}"


def test_a_model_that_has_learnt_escape_sequences_shows_them_as_symbols(
    project: Project, tp: Tp
) -> None:
    project.raw.write_text((HOSTILE + "1 bottle\n") * 60, encoding="utf-8")
    flags = [
        *("--set", "train.runtime.sample_interval=10", "--set", "sample.sample.temperature=9"),
        *("--set", "sample.sample.max_new_tokens=300"),
    ]
    for mode in ([], ["--json"]):
        ended = tp("loop", "tiny", *flags, *mode)
        assert ended.code == 0, ended.err
        assert_harmless(ended)
    sampled = tp("sample", "tiny", "--prompt", ARGUMENT.replace("\r", ""))
    assert sampled.code == 0, sampled.err
    assert "␛" in sampled.out
    assert_harmless(sampled)
    drawn = tp("sample", "tiny", "--json")
    assert_harmless(drawn)
    assert CONTROL.search(drawn.lines[0]["text"]), "the sample is too tame to show anything"
    for path in project.runs[0].root.rglob("*.jsonl"):
        assert CONTROL.search(path.read_text(encoding="utf-8").replace("\x7f", "")) is None
    log = project.runs[0].log_path.read_text(encoding="utf-8")
    assert CONTROL.search(log) is None


@pytest.mark.parametrize(
    "words",
    [
        ["train", "tiny", "--run-id", ARGUMENT],
        ["train", ARGUMENT],
        ["train", "tiny", "--resume", ARGUMENT],
        ["train", "tiny", "--config", ARGUMENT],
        ["train", "tiny", "--set", ARGUMENT],
        ["train", "tiny", "--set", f"{ARGUMENT}=1"],
        ["train", "tiny", "--set", f"model.n_layer={ARGUMENT}"],
        ["train", "tiny", "--set", f"sample.sample.start={ARGUMENT}"],
        ["train", "tiny", "--set", f"prepare.dataset_dir={ARGUMENT}"],
        ["train", "tiny", f"--{ARGUMENT}"],
        ["sample", ARGUMENT],
        ["sample", "first", "--prompt", ARGUMENT],
        ["sample", "first", "--prompt", f"FILE:{ARGUMENT}"],
        ["sample", "first", "--checkpoint", ARGUMENT],
        ["sample", "first", "--top-k", ARGUMENT],
        ["new", ARGUMENT],
        ["new", "x", "--template", ARGUMENT],
        ["runs", "--runs-dir", ARGUMENT],
        ["experiments", "--experiments-dir", ARGUMENT],
        ["tensorboard", ARGUMENT],
        [ARGUMENT],
    ],
    ids=lambda words: " ".join(word.split("=")[0] for word in words if word.isascii())[:40],
)
def test_arguments_are_shown_as_symbols(trained: Project, tp: Tp, words: list[str]) -> None:
    ended = tp(*words)
    assert ended.code in (0, 1, 2)
    assert_harmless(ended)


def test_names_and_descriptions_in_lists_are_shown_as_symbols(trained: Project, tp: Tp) -> None:
    config = trained.experiment / "config.toml"
    described = config.read_text().replace('"bottles on a wall"', '"\\u001b[31m \\u202e red"')
    config.write_text(described)
    for name in ("\x1b[31mred", "a\nb", "\u202egpj.exe"):
        (trained.root / "runs" / name).mkdir()
    with contextlib.suppress(OSError):  # some file systems have only names in UTF-8
        (trained.root / "runs" / os.fsdecode(b"\xff\xfe")).mkdir()
    for words in (["runs"], ["runs", "--json"], ["experiments"], ["experiments", "--json"]):
        ended = tp(*words)
        assert ended.code == 0, ended.err
        assert "a\nb" not in ended.out
        assert_harmless(ended)


def test_a_config_file_s_text_is_shown_as_symbols(project: Project, tp: Tp) -> None:
    config = project.experiment / "config.toml"
    for text in (
        f"[model]\nn_layer = 2 {ARGUMENT}\n",
        '[model]\n"n_\\u001b[31mlayer" = 2\n',
        '[train.runtime]\ndevice = "\\u001b]52;c;cm0=\\u0007"\n',
    ):
        config.write_text(text, encoding="utf-8")
        for words in (["train", "tiny"], ["experiments"]):
            assert_harmless(tp(*words))


def test_a_preparer_s_error_is_shown_as_symbols(project: Project, tp: Tp) -> None:
    (project.experiment / "prepare.py").write_text(
        "from transformer_playground.experiments.registry import register\n"
        '@register("tiny")\n'
        "def main(context):\n"
        '    context.report("\\x1b[31mreport")\n'
        '    raise ValueError("\\x1b]0;title\\x07")\n'
    )
    ended = tp("prepare", "tiny")
    assert ended.code == 1
    assert "ValueError" in ended.err
    assert_harmless(ended)


def test_what_a_run_recorded_is_shown_as_symbols(trained: Project, tp: Tp) -> None:
    run: RunFolder = trained.run_named("first")
    with run.metrics_path.open("a") as metrics:
        metrics.write(
            '{"event": "status", "step": 20, "status": "failed", "error": "\\u001b[31mred"}\n'
        )
    run.config_path.write_text(
        run.config_path.read_text().replace('"experiment": "tiny"', '"experiment": "\\u001b[31m"')
    )
    Path(run.checkpoints / "last.pt").write_bytes(b"\x1b[31m")
    for words in (
        ["runs"],
        ["sample", "first"],
        ["sample", "x@best"],
        ["train", "--run-id", "first"],
    ):
        assert_harmless(tp(*words))
