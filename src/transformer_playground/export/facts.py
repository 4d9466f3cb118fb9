"""Facts about a run for the README of an export: data, licence, metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformer_playground.experiments.recorded import recorded_experiment
from transformer_playground.jsonvalues import as_count, as_number, as_object, as_text
from transformer_playground.runs.folder import RunFolder, read_run_config


@dataclass(frozen=True)
class RunFacts:
    """Where a model comes from.

    Attributes:
        description: The experiment's own, in one line.
        data: What the model was trained on, in one line.
        fingerprint: Of the dataset; empty if the run did not record it.
        val_loss: Of the checkpoint, in nats per token.
        parameters: Number of trained weights.
        base_model: Name of the base model of a finetuned run; empty otherwise.
        licence: Of the model, as its user stated it; empty if not stated.
    """

    run_id: str = ""
    experiment: str = ""
    description: str = ""
    created: str = ""
    data: str = ""
    fingerprint: str = ""
    train_tokens: int | None = None
    val_loss: float | None = None
    parameters: int | None = None
    base_model: str = ""
    licence: str = ""


def run_facts(run: RunFolder, payload: Mapping[str, Any], *, licence: str = "") -> RunFacts:
    """The facts that a run recorded; what is missing or damaged is left out.

    Args:
        run: The run; a nanoGPT folder has no record.
        payload: Content of the checkpoint.
        licence: As stated by the user; empty = the one in the run's settings.

    Raises:
        RunError: The run's `config.json` is damaged.
    """
    record = read_run_config(run) if run.config_path.is_file() else {}
    config = as_object(record.get("config"))
    dataset = as_object(record.get("dataset"))
    return RunFacts(
        run_id=run.run_id,
        experiment=recorded_experiment(record) or "",
        description=as_text(as_object(config.get("experiment")).get("description")) or "",
        created=as_text(record.get("created")) or "",
        data=_data(as_object(config.get("prepare"))),
        fingerprint=as_text(dataset.get("fingerprint")) or "",
        train_tokens=as_count(dataset.get("train_tokens")),
        val_loss=as_number(payload.get("val_loss")),
        parameters=as_count(record.get("parameters")),
        base_model=_base_model(payload),
        licence=licence or as_text(as_object(config.get("export")).get("license")) or "",
    )


def _data(prepare: Mapping[str, Any]) -> str:
    """Bundled text and downloads by name; of other text only that it is the user's own."""
    names = [as_text(prepare.get("bundled")) or ""]
    downloads = as_object(prepare.get("downloads"))
    fetched = prepare.get("fetch")
    for name in fetched if isinstance(fetched, list) else []:
        url = as_text(as_object(downloads.get(str(name))).get("url"))
        names.append(f"{name} ({url})" if url else str(name))
    return ", ".join(filter(None, names)) or "text files of the experiment"


def _base_model(payload: Mapping[str, Any]) -> str:
    hf_model = as_object(as_object(payload.get("model_args")).get("hf_model"))
    name, revision = as_text(hf_model.get("model_name")), as_text(hf_model.get("revision"))
    return " at ".join(filter(None, (name, revision)))
