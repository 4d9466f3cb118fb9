"""The prepared dataset of a run or of an experiment, with its tokenizer and settings."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.browsing.token_bytes import TokenBytes
from transformer_playground.data.dataset import TRAIN_FILE, VAL_FILE, Dataset, open_dataset
from transformer_playground.data.meta import META_FILE
from transformer_playground.data.token_shards import TokenSource, whole_name
from transformer_playground.data.tokenizers import Tokenizer, load_tokenizer
from transformer_playground.errors import DataError, translate_os_errors
from transformer_playground.experiments.dataset_lookup import find_dataset, saved_config
from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.files import stat_or_none
from transformer_playground.runs.folder import RunFolder, read_run_config

Split = str
"""train or val."""
SPLITS = ("train", "val")

_Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class DataSource:
    """An open dataset.

    Attributes:
        name: Run or experiment, untrusted text.
        config: Settings of the run, or of the experiment as they are now.
        run: The run; None for an experiment.
        end_token: Token that ends documents, if the tokenizer has one.
        table: The bytes of each token.
    """

    name: str
    dataset: Dataset
    tokenizer: Tokenizer
    table: TokenBytes
    config: ExperimentConfig
    run: RunFolder | None
    end_token: int | None
    stamp: _Stamp

    def split(self, name: Split) -> TokenSource:
        """The tokens of a split."""
        return self.dataset.train if name == "train" else self.dataset.val

    @property
    def is_current(self) -> bool:
        """Whether its files are those that were opened: reading a file that shrank would crash."""
        return _stamp(self.dataset.folder) == self.stamp

    @property
    def windows_per_step(self) -> int:
        """Windows that a step draws, over all micro-batches and processes."""
        data = self.config.train.data
        return data.batch_size * data.grad_accum_steps

    @property
    def is_finetuning(self) -> bool:
        """Whether its documents are examples for a base model."""
        return self.dataset.end_token is not None


def source_of_run(run: RunFolder, experiments_dir: Path | None) -> DataSource:
    """The dataset that a run was trained on.

    Raises:
        PlaygroundError: The run cannot be read, or its dataset is gone or another one.
    """
    record = read_run_config(run)
    lookup = find_dataset(record, stated=None, experiments_dir=experiments_dir)
    if lookup.dataset is None:
        raise DataError(lookup.problem, lookup.hint)
    return _open(run.run_id, lookup.dataset, saved_config(record), run)


def source_of_experiment(
    name: str, experiments_dir: Path, environ: Mapping[str, str] | None = None
) -> DataSource:
    """The prepared dataset of an experiment.

    Raises:
        PlaygroundError: There is no such experiment, its configuration is not valid, or its
            dataset is not prepared.
    """
    found, loaded = load_experiment(experiments_dir, name, None, (), environ or os.environ)
    folder = loaded.config.prepare.dataset_dir
    dataset = open_dataset(folder, prepare_command=f"tp prepare {found.name}")
    return _open(found.name, dataset, loaded.config, None)


def _open(
    name: str, dataset: Dataset, config: ExperimentConfig, run: RunFolder | None
) -> DataSource:
    stamp = _stamp(dataset.folder)
    with translate_os_errors(DataError, f"{dataset.folder} cannot be read"):
        tokenizer = load_tokenizer(dataset.folder)
    end_token = dataset.end_token if dataset.end_token is not None else tokenizer.eos_id
    table = TokenBytes(tokenizer)
    return DataSource(name, dataset, tokenizer, table, config, run, end_token, stamp)


def _stamp(folder: Path) -> _Stamp:
    """Name, inode, size and time of each file that reading depends on."""
    return tuple(sorted(_states(folder)))


def _states(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return
    for name in names:
        if whole_name(name) in (TRAIN_FILE, VAL_FILE, META_FILE):
            state = stat_or_none(folder / name)
            if state is not None:
                yield name, state.st_ino, state.st_size, state.st_mtime_ns
