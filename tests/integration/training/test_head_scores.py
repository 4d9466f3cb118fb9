"""Scores of attention heads in the rows of evaluations."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from builders.schemas import check
from builders.training import prepared_config, rows_of, runtime, train
from transformer_playground.checkpoints.discovery import newest_valid
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.inspection.heads import score_heads
from transformer_playground.runs.series import RunSeries
from transformer_playground.training.events import Evaluated
from transformer_playground.training.sinks.run_files import event_rows
from transformer_playground.training.sinks.text import describe

LOSSES = {
    "train_loss": 2.0,
    "val_loss": 2.0,
    "train_ppl": 7.4,
    "val_ppl": 7.4,
    "val_bits_per_byte": None,
    "eval_windows": 1,
    "window_tokens": 4,
}


def test_each_evaluation_of_a_run_has_the_scores_of_its_weights(tmp_path: Path) -> None:
    result = train(tmp_path, runtime(head_scores=True, max_iters=6, eval_interval=3))
    rows = rows_of(result.run, "eval")
    assert [row["step"] for row in rows] == [0, 3, 6]
    for row in rows:
        check("train", row | {"time": 1.0})
        assert row["induction_score"] == max(map(max, row["head_scores"]["induction"]))
    series = RunSeries(result.run.metrics_path)
    series.poll()
    assert series.curve("eval", "induction_score").y.tolist() == [
        row["induction_score"] for row in rows
    ]
    model = build_model(load_payload(newest_valid(result.run.checkpoints).path))
    last = {kind: grid.tolist() for kind, grid in score_heads(model).by_kind().items()}
    for kind, grid in last.items():
        for row, expected in zip(rows[-1]["head_scores"][kind], grid, strict=True):
            assert row == pytest.approx(expected, abs=1e-5)


def test_scoring_heads_changes_nothing_else_of_a_run(tmp_path: Path) -> None:
    steps = {"max_iters": 6, "eval_interval": 3}
    plain = train(tmp_path, runtime(**steps), run_id="plain")
    scored = train(tmp_path, runtime(head_scores=True, **steps), run_id="scored")
    without = rows_of(plain.run, "eval")
    assert not [key for row in without for key in row if "score" in key]
    shared = [{key: row[key] for key in without[0]} for row in rows_of(scored.run, "eval")]
    assert shared == without
    assert rows_of(scored.run, "train") == rows_of(plain.run, "train")


def test_a_context_that_holds_no_repetition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="context of at least 4 tokens"):
        prepared_config(tmp_path, runtime(head_scores=True), {"model": {"block_size": 3}})


def test_the_log_names_the_head_with_the_highest_induction_score() -> None:
    kinds = {"induction": [[0.1, 0.2], [0.75, 0.3]], "previous_token": [[0.5, 0.1], [0.0, 0.0]]}
    event = Evaluated(step=5, is_best=False, head_scores=kinds, **LOSSES)  # type: ignore[arg-type]
    assert describe(event).endswith("induction score 0.75 (head 1.0)")
    (row,) = event_rows(event)
    assert (row["induction_score"], row["previous_token_score"]) == (0.75, 0.5)
    assert row["head_scores"] == kinds
    (plain,) = event_rows(Evaluated(step=5, is_best=False, **LOSSES))  # type: ignore[arg-type]
    assert not [key for key in plain if "score" in key]
    assert "score" not in describe(Evaluated(step=5, is_best=False, **LOSSES))  # type: ignore[arg-type]
