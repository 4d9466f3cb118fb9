"""`tp train --print-job`: which files are printed, and what is refused."""

import shlex
from pathlib import Path

import pytest
import yaml

from builders.commands import Ended, Project, in_process, make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def ask(project: Project, capsys: pytest.CaptureFixture[str], *words: str) -> Ended:
    return in_process(project, capsys, "train", *words)


def trained(script: str) -> list[str]:
    """The arguments after `-m transformer_playground` in a script."""
    words = shlex.split(script.replace("\\\n", " "), comments=True)
    return words[words.index("transformer_playground") + 1 :]


def test_a_file_keeps_the_settings_and_names_the_run_that_a_restart_resumes(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tiny", "--set", "train.runtime.max_iters=7", "--set", "sample.sample.start=it's 1"]
    ended = ask(project, capsys, *words, "--print-job", "torchrun")
    assert ended.code == 0, ended.err
    *kept, option, run_id = trained(ended.out)
    assert kept == ["train", *words]
    assert option == "--run-id"
    assert run_id.startswith("tiny-2")
    assert not (project.root / "runs").exists()
    assert f"# Trains the run {run_id} on 1 machine without GPUs:" in ended.out
    config = project.experiment / "config.toml"
    folders = ["--runs-dir", "other runs", "--experiments-dir", str(project.root / "experiments")]
    ended = ask(
        project,
        capsys,
        *("--config", str(config), "--run-id", "mine", "--print-job", "slurm", *folders),
    )
    arguments = trained(ended.out)
    assert arguments[: arguments.index("&")] == [
        *("train", "--config", str(config), "--run-id", "mine"),
        *(folders[2], folders[3], folders[0], folders[1]),
    ]
    assert "if tp runs stop mine --runs-dir 'other runs'; then" in ended.out


def test_a_task_for_skypilot_takes_the_texts_along_and_prepares_them(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--set", "prepare.val_fraction=0.2", "--set", "train.runtime.device=auto"]
    ended = ask(
        project, capsys, "tiny", *settings, "--print-job", "skypilot", "--gpus-per-node", "2"
    )
    task = yaml.safe_load(ended.out)
    assert task["file_mounts"] == {"~/sky_workdir/experiments/tiny/raw": "./experiments/tiny/raw"}
    assert "tp prepare tiny --set prepare.val_fraction=0.2" in task["setup"]
    assert "pip install transformer-playground==" in task["setup"]
    assert task["resources"]["any_of"][0] == {"accelerators": "H100:2"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--print-job", "kubernetes"], "no job file of kind 'kubernetes'"),
        (["--nodes", "2"], "--nodes needs --print-job"),
        (["--gpus-per-node", "2"], "--gpus-per-node needs --print-job"),
        (["--print-job", "slurm", "--json"], "prints a file, not JSON"),
        (["--print-job", "slurm", "--estimate"], "--print-job and --estimate exclude each other"),
        (
            ["--print-job", "slurm", "--gpus-per-node", "2"],
            "'cpu' is not CUDA, but --gpus-per-node is 2",
        ),
        (
            ["--print-job", "slurm", "--gpus-per-node", "0", "--set", "train.runtime.device=cuda"],
            "'cuda' needs a GPU, but --gpus-per-node is 0",
        ),
        (
            ["--print-job", "torchrun", "--nodes", "5", "--gpus-per-node", "0"],
            "5 processes share the 4 sequences of a step",
        ),
        (
            ["--print-job", "slurm", "--gpus-per-node", "4", "--processes", "2"],
            "train.distributed.processes = 2, but each of the 4 GPUs",
        ),
        (["--print-job", "slurm", "--set", "model.n_layer=-1"], "model.n_layer"),
        (["--print-job", "slurm", "--resume", "gone"], "no run 'gone'"),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_is_printed(
    words: list[str], problem: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    config = project.experiment / "config.toml"
    if "--gpus-per-node" not in words or "is not CUDA" not in problem:
        changed = config.read_text().replace('device = "cpu"', 'device = "auto"')
        config.write_text(changed)
    ended = ask(project, capsys, "tiny", *words)
    assert ended.code == 2
    assert problem in ended.err
    assert ended.out == ""


def test_on_a_cpu_each_machine_has_the_processes_of_the_settings(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = ask(project, capsys, "tiny", "--processes", "2", "--print-job", "torchrun")
    assert "--nproc-per-node=2" in ended.out
    assert "--set train.distributed.processes=2" in ended.out
