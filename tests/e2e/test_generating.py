"""`tp generate` at a terminal, behind a pipe and before one that closes."""

import json
import subprocess
from collections.abc import Callable

import pytest

from builders.commands import PATIENCE_SECONDS, TP, Ended, Project, in_process, make_project
from builders.terminals import AtTerminal
from transformer_playground.cli.main import main

GENERATE = ("generate", "--run-id", "r")
CTRL_D = "\x04"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the run `r`; not to be changed."""
    project = make_project(tmp_path_factory.mktemp("generating") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        assert main(["loop", "tiny", "--run-id", "r"]) == 0
    return project


@pytest.fixture
def texts(trained: Project, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """What a command of this process draws from `r`."""

    def draw(*words: object) -> list[str]:
        ended = in_process(trained, capsys, *GENERATE, "--json", *words)
        assert ended.code == 0, ended.err
        return [row["text"] for row in ended.lines]

    return draw


def fed(project: Project, data: bytes, *words: str) -> Ended:
    done = subprocess.run(
        [str(TP), *GENERATE, *words],
        cwd=project.root,
        input=data,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def on_screen(text: str) -> str:
    return text.replace("\n", "\r\n")


def test_several_samples_come_one_below_the_other(
    trained: Project, texts: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = texts("--n-samples", 3)
    code, output = AtTerminal(trained, *GENERATE, "--n-samples", "3").wait()
    assert code == 0
    expected = (
        f"--- sample 1 of 3 ---\n1{first}\n"
        f"--- sample 2 of 3 ---\n1{second}\n"
        f"--- sample 3 of 3 ---\n1{third}\n"
    )
    assert output.endswith(on_screen(expected))
    assert in_process(trained, capsys, *GENERATE, "--n-samples", 3).out == expected


@pytest.mark.parametrize("n_samples", ["1", "3"])
def test_a_stream_that_is_interrupted_leaves_what_was_drawn(
    trained: Project, texts: Callable[..., list[str]], n_samples: str
) -> None:
    (begun,) = texts("--max-new-tokens", 50)
    # Far more tokens than anyone waits for: what is on the screen came while they were drawn.
    terminal = AtTerminal(
        trained, *GENERATE, "--max-new-tokens", "5000000", "--n-samples", n_samples
    )
    note = "of r\r\n"
    terminal.read_until(300, after=note)
    terminal.interrupt()
    code, output = terminal.wait()
    assert code == 130
    drawn = output.partition(note)[2]
    heading = "" if n_samples == "1" else "--- sample 1 of 3 ---\r\n"
    assert drawn.startswith(f"{heading}1{on_screen(begun)}")
    assert drawn.endswith("\r\ninterrupted\r\n")
    assert "Traceback" not in output


def test_a_prompt_comes_through_a_pipe(trained: Project) -> None:
    ended = fed(trained, b"12 bottles", "--prompt", "-", "--max-new-tokens", "5")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("12 bottles")
    refused = fed(trained, b"12\xff", "--prompt", "-")
    assert (refused.code, refused.out) == (1, "")
    assert "not UTF-8" in refused.err
    assert "Traceback" not in refused.err


def test_a_prompt_can_be_typed(trained: Project) -> None:
    terminal = AtTerminal(trained, *GENERATE, "--prompt", "-", "--json", "--max-new-tokens", "5")
    terminal.read_until(1, after="Type the prompt")
    terminal.type(f"12 bottles\n{CTRL_D}")
    code, output = terminal.wait()
    assert code == 0, output
    assert json.loads(output.splitlines()[-1])["prompt"] == "12 bottles\n"


def test_a_reader_that_leaves_early_sees_no_traceback(trained: Project) -> None:
    program = f"{TP} {' '.join(GENERATE)} --n-samples 300 | head -c 5; exit ${{PIPESTATUS[0]}}"
    ended = trained.child("bash", "-c", program)
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert "error" not in ended.err
