"""Details of a run as the console reads them."""

from pathlib import Path

from builders.checkpoints import flip_byte, save
from builders.runs import make_run, status_row, write_writer
from transformer_playground.runs.details import read_checkpoints
from transformer_playground.runs.fields import RunInfo
from transformer_playground.tui.runs import experiment_list
from transformer_playground.tui.runs.details_state import ExperimentDetails, read_section
from transformer_playground.tui.runs.details_text import Line, run_overview, settings_lines


def test_the_console_lists_the_checkpoints_of_runs_show_without_their_second_names(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, "one")
    for step in (1, 2, 3):
        save(run.checkpoints, step, keep_last=3)
    (run.checkpoints / "ckpt_last_00000001.pt").write_bytes(b"short")
    (run.checkpoints / "ckpt_last_00000009.pt").write_bytes(b"no sidecar")

    shown = read_section(tmp_path, "one", "overview").checkpoints

    listed = [file for file in read_checkpoints(run) if file.name.startswith("ckpt_")]
    assert list(shown) == listed
    assert [file.step for file in shown] == [3, 2, None, None]
    assert [file.size for file in shown[2:]] == [5, 10]
    assert all(file.problem for file in shown[2:])


def test_the_console_compares_sizes_and_does_not_hash_checkpoints(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    path = save(run.checkpoints, 1)[0].path
    flip_byte(path)
    assert all(file.problem for file in read_checkpoints(run))
    (shown,) = read_section(tmp_path, "one", "overview").checkpoints
    assert (shown.step, shown.problem) == (1, None)


def test_the_writer_of_a_run_is_shown_with_its_host_if_that_is_another(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one", rows=[status_row(0, "running")])
    for host, shown in (("node-7\x1b", "process 1234 on node-7␛"), (None, "process ")):
        write_writer(run, **({"pid": 1234, "host": host} if host else {}))
        details = read_section(tmp_path, "one", "overview")
        lines = run_overview(RunInfo("one", "running"), details, None, 80, 0.0)
        text = "".join(part for part, _ in lines[0])
        assert f"by {shown}" in text
        assert (" on " in text) == bool(host)


SETTINGS = {"model.norm": "rmsnorm", "train.runtime.max_iters": 7, "model.n_layer": 2}


def texts(lines: list[Line]) -> list[str]:
    return ["".join(part for part, _ in line) for line in lines]


def test_an_origin_that_all_settings_have_is_said_once_and_values_are_aligned() -> None:
    found = texts(settings_lines(SETTINGS, dict.fromkeys(SETTINGS, "the run's config.json")))
    assert "".join(found).count("config.json") == 1
    rows = [line for line in found if line.startswith(("model", "train"))]
    assert {len(row) - len(row.split()[-1]) for row in rows} == {len("train.runtime.max_iters ")}


def test_several_origins_have_a_letter_each() -> None:
    origins = {
        "model.norm": "--set",
        "model.n_layer": "\x1bsmall.toml",
        "train.runtime.max_iters": "…",
    }
    title, *rows = texts(settings_lines(SETTINGS, origins))
    assert title == "changed from the default  s --set · 1 … · m ␛small.toml"
    assert [row[:3] for row in rows if not row.startswith("  ")][:3] == ["s m", "1 t", "m m"]


def experiment(data: str, name: str = "shakespeare_char_fast", width: int = 24) -> list[str]:
    details = ExperimentDetails(name, kind="gpt", description="all of it", data=data)  # type: ignore[arg-type]
    return experiment_list._prompt(name, details, width, None).plain.split("\n")


def test_the_name_of_an_experiment_has_a_line_and_only_data_that_is_not_prepared_a_word() -> None:
    assert experiment("prepared") == ["shakespeare_char_fast", "✓ gpt · all of it"]
    assert experiment("missing", width=40)[1] == "· not prepared  gpt · all of it"
    assert experiment("broken", width=12) == ["shakespeare…", "✗ broken  g…"]
