"""An incremental summary equals one of the whole file."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from builders.metrics import read_rows
from builders.runs import eval_row, resume_row, status_row, train_row
from transformer_playground.runs.jsonl import encode_row
from transformer_playground.runs.summary import extend_summary, read_summary

numbers = st.none() | st.integers(0, 4).map(float)
# Some so far apart that the gap is taken for sleep.
times = st.floats(0, 100) | st.floats(0, 1e6)


def moves(event: str) -> st.SearchStrategy[dict[str, Any]]:
    keys = ("train_loss", "val_loss", "val_bits_per_byte", "tokens_per_sec", "tokens_seen")
    rest = dict.fromkeys(keys, numbers) | {
        "time": times,
        "monotonic": times,
        "step_time_ms": numbers,
        "early_stopped": st.booleans(),
    }
    if event == "eval":
        rest["eval_windows"] = st.sampled_from([8, 8, 8, 9])
    status = st.sampled_from(["running", "paused", "failed"])
    given_status = {"status": status} if event == "status" else {}
    return st.fixed_dictionaries(
        {"event": st.just(event), "step": st.integers(0, 3), **given_status}, optional=rest
    )


# Mostly increasing steps, as in training; sometimes back, as after a resume.
any_moves = st.lists(
    st.sampled_from(["train", "train", "eval", "eval", "status", "checkpoint", "resume"]).flatmap(
        moves
    ),
    max_size=30,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    [
        {"event": "eval", "step": 1, "val_loss": 0.0},
        {"event": "checkpoint", "step": 0},
        {"event": "eval", "step": 0, "eval_windows": 8},
    ],
    0,
)
@given(any_moves, st.integers(0, 30))
def test_an_incremental_summary_equals_that_of_the_whole_file(
    tmp_path: Path, rows: list[dict[str, Any]], cut: int
) -> None:
    step = 0
    for row in rows:
        back = row["event"] == "resume" or (row["step"] == 0 and row["event"] == "checkpoint")
        step = max(0, step - 2) if back else step + row["step"]
        row["step"] = step
    path = tmp_path / "m"
    path.write_bytes(b"".join(map(encode_row, rows[:cut])))
    summary, position = read_summary(path)
    with path.open("ab") as file:
        file.writelines(map(encode_row, rows[cut:]))

    carried = extend_summary(path, summary, position)
    whole = read_summary(path)
    if carried is None:
        supersedes = any(row["event"] == "resume" for row in rows[cut:])
        steps = [(row["event"], row["step"]) for row in rows]
        windows = {row.get("eval_windows") for row in rows if row["event"] == "eval"}
        out_of_order = len(set(steps)) < len(steps) or steps != sorted(steps, key=_step)
        assert supersedes or out_of_order or len(windows) > 1
    else:
        assert carried == whole
        assert carried[0].throughput == whole[0].throughput
    # Where steps go back without a resume, the newest evaluation is that of the highest step.
    evaluations = [row for row in read_rows(path) if row["event"] == "eval"]
    evaluations.sort(key=lambda row: row["step"])
    newest = evaluations[-1].get("eval_windows") if evaluations else None
    comparable = [row for row in evaluations if row.get("eval_windows") == newest]
    known = [row for row in comparable if row.get("val_loss") is not None]
    best = min(known, key=lambda row: (row["val_loss"], row["step"]), default={})
    assert whole[0].best_val_loss == best.get("val_loss")
    assert whole[0].best_step == best.get("step")


def _step(pair: tuple[str, int]) -> int:
    return pair[1]


def test_only_rows_that_cannot_supersede_others_are_added_incrementally(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"".join(map(encode_row, [train_row(10), eval_row(10, 2.0)])))
    start = read_summary(path)

    def after(row: dict[str, Any]) -> bool:
        with path.open("ab") as file:
            before = file.tell()
            file.write(encode_row(row))
        carried = extend_summary(path, *start) is not None
        with path.open("r+b") as file:
            file.truncate(before)
        return carried

    assert after(train_row(11))
    assert after(status_row(5, "paused"))
    assert not after(train_row(10))
    assert not after(eval_row(9, 5.0))
    assert not after(resume_row(10))


def test_the_earlier_of_two_equal_evaluations_is_the_best(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(encode_row(eval_row(10, 2.0)))
    start = read_summary(path)
    with path.open("ab") as file:
        file.write(encode_row(eval_row(20, 2.0)))

    carried = extend_summary(path, *start)
    assert carried == read_summary(path)
    assert carried is not None
    assert carried[0].best_step == 10


def test_a_checkpoint_of_the_same_step_keeps_the_token_count(tmp_path: Path) -> None:
    checkpoint = {"event": "checkpoint", "step": 0, "tokens_seen": 7}
    path = tmp_path / "m"
    path.write_bytes(encode_row(checkpoint))
    summary, position = read_summary(path)
    with path.open("ab") as file:
        file.write(encode_row({"event": "checkpoint", "step": 0}))
    carried = extend_summary(path, summary, position)
    assert carried == read_summary(path)
