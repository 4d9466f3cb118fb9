"""`tp lit`: what it refuses before anything slow starts, and what it shows."""

import shutil
from pathlib import Path

import pytest

from builders.commands import make_trained_project
from builders.lit import stand_in
from builders.runs import make_run
from transformer_playground.cli.main import main
from transformer_playground.lit.load import load_session
from transformer_playground.lit.request import LitRequest, resolve_lit
from transformer_playground.runs.finding import find_runs
from transformer_playground.serving.server import open_socket


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_trained_project(tmp_path_factory.mktemp("lit") / "project", "first").root
    shutil.copytree(root / "runs" / "first", root / "runs" / "second")
    return root


def test_runs_of_one_dataset_share_its_texts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    request = LitRequest(windows=3, n_pairs=2)
    setups = resolve_lit(find_runs(Path("runs"), "first,second"), request)
    session = load_session(setups, request, Path("python"), progress=pytest.fail)
    assert [model.name for model in session.models] == ["first", "second"]
    windows, pairs = session.datasets
    assert (windows["name"], pairs["name"]) == ("validation text", "minimal pairs")
    assert len(windows["examples"]) == 3
    assert len(pairs["examples"]) == 4
    for example in (*windows["examples"], *pairs["examples"]):
        assert set(example) == set(windows["fields"] if "window" in example else pairs["fields"])
        assert session.models[0].predict(example["text"])["loss"] > 0
    assert "font-face" in session.style


def test_what_cannot_be_shown_is_refused_in_a_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(root)
    make_run(root / "runs", "empty", [])
    python = stand_in(tmp_path, program="raise SystemExit(3)")
    (tmp_path / "bin").mkdir()
    python.rename(tmp_path / "bin" / "python")
    with open_socket("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        for words, expected in (
            (("nobody",), "There is no run 'nobody'"),
            (("first", "--env", "x", "--python", "3.11"), "--python has no effect with --env."),
            (("empty",), "checkpoint"),
            (("first", "--port", port), "cannot be used"),
            (("first", "--port", "0", "--env", str(tmp_path)), "has no LIT"),
        ):
            assert main(["lit", *words]) > 0
            captured = capsys.readouterr()
            assert captured.out == ""
            assert expected in captured.err
            assert "Traceback" not in captured.err
