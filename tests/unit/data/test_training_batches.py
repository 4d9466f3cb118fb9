"""Batches of a step, chosen by the settings of a run."""

from pathlib import Path

import numpy as np

from builders.training import prepared_config
from transformer_playground.data.dataset import open_dataset
from transformer_playground.data.training_batches import micro_batches, training_batches


def test_steps_divide_the_windows_of_a_run_among_them_in_order(tmp_path: Path) -> None:
    data = {"train": {"data": {"batch_size": 3, "grad_accum_steps": 2}}}
    config = prepared_config(tmp_path, data)
    dataset = open_dataset(config.prepare.dataset_dir, prepare_command="tp prepare")
    whole, _ = training_batches(config, dataset).batch(0, 12)
    drawn = [inputs for step in (1, 2) for inputs, _ in micro_batches(config, dataset, step)]
    assert [batch.shape for batch in drawn] == [(3, 16)] * 4
    assert np.array_equal(np.concatenate(drawn), whole)
