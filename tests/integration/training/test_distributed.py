"""Several ranks count and normalise as one process with all their batches would."""

from pathlib import Path

import pytest

from builders.distributed import padded_materials, train_on_ranks
from transformer_playground.evaluation.loss import mean_loss
from transformer_playground.training.distributed import DistInfo


def test_padded_rows_are_normalised_by_the_targets_of_all_ranks(tmp_path: Path) -> None:
    setup = padded_materials(tmp_path)
    batches = [setup.batches.batch(4 * index, 4) for index in range(4)]
    expected = mean_loss(setup.model, batches, setup.device)

    reports = train_on_ranks(tmp_path, 2)
    # Rank 0 reads batches 0 and 1, rank 1 reads 2 and 3: 1 + 4 and 7 + 10 targets.
    assert [report.tokens_seen for report in reports] == [22, 22]
    assert [report.train_loss for report in reports] == pytest.approx([expected] * 2)
    assert [report.tokens_per_step for report in reports] == [2 * 4 * 16 * 2] * 2
    assert [report.info for report in reports] == [DistInfo(0, 0, 2), DistInfo(1, 1, 2)]
    assert reports[0].checkpoints > 0
    assert reports[1].checkpoints == 0


def test_without_a_process_group_a_process_is_alone(tmp_path: Path) -> None:
    info = DistInfo.current()
    assert info == DistInfo(rank=0, local_rank=0, world_size=1)
    assert info.is_main
    assert info.sum(7, padded_materials(tmp_path).device) == 7
