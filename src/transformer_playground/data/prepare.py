"""Dataset preparation: text in `raw_dir` becomes `train.bin`, `val.bin` and `meta.pkl`.

`build_pretraining` builds it for training from scratch, `build_finetuning` for finetuning.
"""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.build_finetuning import (
    build_finetuning_dataset,
    finetuning_settings,
)
from transformer_playground.data.build_pretraining import (
    build_pretraining_dataset,
    pretraining_settings,
)
from transformer_playground.data.dataset import (
    artifacts_among,
    check_artifacts,
    finish_replacement,
    prepare_lock,
    replace_artifacts,
)
from transformer_playground.data.meta import META_FILE, read_meta
from transformer_playground.data.progress import ShowProgress, ignore_progress
from transformer_playground.data.sources.corpora import (
    FINETUNING_SUFFIXES,
    SUFFIXES,
    RawInput,
    collect_inputs,
    expected_inputs,
    input_paths,
    is_bundled_copy,
    unused_note,
)
from transformer_playground.errors import DataError

DatasetState = Literal["prepared", "stale", "missing"]
"""Whether a dataset can be used as it is, must be built again, or does not exist."""


@dataclass(frozen=True)
class PrepareReport:
    """Result of `prepare_dataset`: artifact names, dataset sizes and notes for the user."""

    created: tuple[str, ...]
    refreshed: tuple[str, ...]
    skipped: tuple[str, ...]
    train_tokens: int
    val_tokens: int
    vocab_size: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _DatasetBuilder:
    """Settings of a dataset; `hf_model` is set for finetuning."""

    config: PrepareConfig
    hf_model: HfModelConfig | None

    @property
    def suffixes(self) -> tuple[str, ...]:
        return SUFFIXES if self.hf_model is None else FINETUNING_SUFFIXES

    def settings(self) -> dict[str, Any]:
        if self.hf_model is None:
            return pretraining_settings(self.config)
        return finetuning_settings(self.config, self.hf_model)

    def build(
        self,
        target: Path,
        inputs: Sequence[RawInput],
        report: Callable[[str], None],
        progress: ShowProgress,
    ) -> list[str]:
        if self.hf_model is None:
            return build_pretraining_dataset(
                target, self.config, inputs, report=report, progress=progress
            )
        return build_finetuning_dataset(
            target, self.config, self.hf_model, inputs, report=report, progress=progress
        )


def dataset_state(config: PrepareConfig, hf_model: HfModelConfig | None = None) -> DatasetState:
    """State of a dataset without building it.

    A dataset is `stale` if its artifacts are damaged or its inputs, settings or base model have
    changed.

    Raises:
        DataError: The inputs cannot be read.
    """
    builder = _DatasetBuilder(config, hf_model)
    folder = config.dataset_dir
    finish_replacement(folder)
    if not (folder / META_FILE).exists():
        return "missing"
    try:
        meta = check_artifacts(folder)
    except DataError:
        return "stale"
    try:
        inputs = expected_inputs(config, builder.suffixes)
    except OSError as error:
        raise _unusable(error) from error
    return "prepared" if _is_current(meta, builder, inputs) else "stale"


def prepare_dataset(
    config: PrepareConfig,
    hf_model: HfModelConfig | None = None,
    *,
    report: Callable[[str], None],
    progress: ShowProgress = ignore_progress,
    force: bool = False,
) -> PrepareReport:
    """Build the dataset unless it exists and matches the inputs and settings.

    Atomic: after a crash or on a full disk, either the old or the new dataset is complete.

    Args:
        config: The `[prepare]` table with absolute paths.
        hf_model: The base model for finetuning; None for training from scratch.
        report: Called with one line per stage.
        progress: Called several times a second while text is encoded; what it raises ends the
            preparation and leaves the old dataset.
        force: Build even if nothing has changed.

    Raises:
        DataError: No usable text, settings that do not fit the text, or OSError while writing.
        ModelError: The tokenizer of the base model cannot be loaded.
    """
    try:
        with prepare_lock(config.dataset_dir, report=report):
            builder = _DatasetBuilder(config, hf_model)
            return _prepare(builder, report, progress, force=force)
    except OSError as error:
        if not force and (kept := _kept(_DatasetBuilder(config, hf_model), report)):
            return kept
        raise _unusable(error) from error


def describe_dataset(config: PrepareConfig, *, report: Callable[[str], None]) -> PrepareReport:
    """Report of an existing dataset that is used unchanged.

    Raises:
        DataError: An artifact is missing or damaged.
    """
    return _skipped(check_artifacts(config.dataset_dir), [], report)


def _kept(builder: _DatasetBuilder, report: Callable[[str], None]) -> PrepareReport | None:
    """Report of a dataset on a read-only or full disk, if it is up to date."""
    meta = _intact_meta(builder)
    try:
        if meta and _is_current(meta, builder, expected_inputs(builder.config, builder.suffixes)):
            return _skipped(meta, [], report)
    except OSError:
        pass
    return None


def _prepare(
    builder: _DatasetBuilder, report: Callable[[str], None], progress: ShowProgress, *, force: bool
) -> PrepareReport:
    config = builder.config
    folder = config.dataset_dir
    meta = None if force else _intact_meta(builder)
    if meta and not config.bundled and not input_paths(config.raw_dir, builder.suffixes):
        note = f"{config.raw_dir} has no text; kept the existing dataset."
        return _skipped(meta, [note, *unused_note(config.raw_dir, builder.suffixes)], report)
    inputs, notes = collect_inputs(config, report=report, suffixes=builder.suffixes)
    notes += unused_note(config.raw_dir, builder.suffixes)
    if meta and _is_current(meta, builder, inputs):
        return _skipped(meta, [*notes, *_mixed_note(meta, inputs)], report)
    notes += _left_out_note(config.raw_dir, builder.suffixes, inputs)
    before = set(artifacts_among(path.name for path in folder.iterdir()))
    notes += replace_artifacts(
        folder, lambda target: builder.build(target, inputs, report, progress)
    )
    meta = read_meta(folder / META_FILE)
    return PrepareReport(
        created=tuple(name for name in _artifacts(meta) if name not in before),
        refreshed=tuple(name for name in _artifacts(meta) if name in before),
        skipped=(),
        **_sizes(meta),
        notes=tuple(notes),
    )


def _intact_meta(builder: _DatasetBuilder) -> dict[str, Any] | None:
    """Metadata of the dataset if it has these settings and its files are undamaged."""
    try:
        meta = check_artifacts(builder.config.dataset_dir, hashes=True)
    except DataError:
        return None
    return meta if meta.get("settings") == builder.settings() else None


def _is_current(meta: dict[str, Any], builder: _DatasetBuilder, inputs: Sequence[RawInput]) -> bool:
    if meta.get("settings") != builder.settings():
        return False
    # A dataset that was copied without its raw text is accepted.
    if not inputs or meta.get("inputs") == [item.identity for item in inputs]:
        return True
    # Earlier versions used the copy of the bundled text beside other files.
    return bool(_mixed_note(meta, inputs))


def _mixed_note(meta: dict[str, Any], inputs: Sequence[RawInput]) -> list[str]:
    """A note if the dataset contains, besides these inputs, only copies of bundled texts."""
    used = [item.identity for item in inputs]
    recorded = meta.get("inputs") or []
    others = [entry for entry in recorded if entry not in used]
    is_rest_equal = [entry for entry in recorded if entry in used] == used
    if not (others and is_rest_equal and all(is_bundled_copy(entry) for entry in others)):
        return []
    names = ", ".join(str(entry["name"]) for entry in others)
    return [f"the dataset also contains the bundled text {names}; --force rebuilds it without"]


def _left_out_note(raw_dir: Path, suffixes: Sequence[str], inputs: Sequence[RawInput]) -> list[str]:
    used = [item.path for item in inputs]
    names = [path.name for path in input_paths(raw_dir, suffixes) if path not in used]
    if not names:
        return []
    return [
        f"left out {', '.join(names)} in {raw_dir}: a copy of the bundled text; "
        "to use it beside your own, give it another name"
    ]


def _skipped(
    meta: dict[str, Any], notes: Sequence[str], report: Callable[[str], None]
) -> PrepareReport:
    report("Nothing has changed since the dataset was prepared")
    return PrepareReport(
        created=(),
        refreshed=(),
        skipped=tuple(_artifacts(meta)),
        **_sizes(meta),
        notes=tuple(notes),
    )


def _artifacts(meta: dict[str, Any]) -> list[str]:
    return artifacts_among([*meta["files"], META_FILE])


def _sizes(meta: dict[str, Any]) -> dict[str, Any]:
    return {name: meta[name] for name in ("train_tokens", "val_tokens", "vocab_size")}


def _unusable(error: OSError) -> DataError:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            f"The disk is full{where}; the dataset was not changed.",
            "Free some space and prepare again.",
        )
    return DataError(
        f"The dataset cannot be prepared: {error.strerror or error}{where}.",
        "Check that the path exists and that you can read and write it.",
    )
