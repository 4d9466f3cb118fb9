"""`tp import`: a model of another program becomes an ordinary run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from builders.commands import Project, Tp
from builders.nanogpt import (
    Reference,
    configured_optimizer,
    nanogpt_checkpoint,
    train_reference,
    write_meta,
)
from builders.schemas import check
from builders.training import TEXT, equal
from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.errors import UsageError
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.launch import Launch, resolve_launch
from transformer_playground.tui.launch.estimate import remaining_part
from transformer_playground.tui.launch.service import form_title

ALPHABET = "".join(sorted(set(TEXT)))
CONFIG = {
    "dataset": "bottles",
    "batch_size": 2,
    "gradient_accumulation_steps": 1,
    "learning_rate": 0.01,
    "max_iters": 3,
    "always_save_checkpoint": False,
}


def write_nanogpt(root: Path, alphabet: str = ALPHABET) -> Path:
    """NanoGPT's folder after three steps on a dataset of characters."""
    reference = Reference(bias=True, vocab_size=len(alphabet))
    optimizer = configured_optimizer(reference, 0.01)
    train_reference(reference, optimizer, 3)
    content = nanogpt_checkpoint(
        reference, True, optimizer=optimizer.state_dict(), iter_num=3, config=CONFIG
    )
    out = root / "out-bottles"
    out.mkdir(parents=True)
    torch.save(content, out / "ckpt.pt")
    write_meta(root / "data" / "bottles", alphabet)
    return out


def test_an_imported_run_is_listed_sampled_compared_and_reported(trained: Project, tp: Tp) -> None:
    out = write_nanogpt(trained.root / "nano")

    ended = tp("import", out, "--run-id", "foreign", "--json")

    assert ended.code == 0, ended.err
    (document,) = ended.lines
    check("import", document)
    assert document["step"] == 3
    assert document["tokenizer"] == "char"
    (rows,) = tp("runs", "--json").lines
    check("runs", rows)
    row = next(row for row in rows if row["run_id"] == "foreign")
    assert (row["state"], row["experiment"]) == ("finished", "out-bottles")
    assert row["best_val_loss"] == pytest.approx(1.88)
    assert tp("runs", "show", "foreign").code == 0
    sampled = tp("sample", "foreign", "--prompt", "12 ", "--json", "--max-new-tokens", 5)
    assert sampled.code == 0, sampled.err
    assert len(sampled.lines[0]["tokens"]) == 5
    compared = tp("compare", "--run-ids", "first,foreign", "--json")
    assert compared.code == 0, compared.err
    report = tp("report", "--run-id", "foreign", "--n-samples", 2, "--json")
    assert report.code == 0, report.err
    check("report", report.lines[0])


def test_without_a_dataset_training_on_is_refused_with_the_way_out(
    trained: Project, tp: Tp
) -> None:
    tp("import", write_nanogpt(trained.root / "nano"), "--run-id", "foreign")
    before = trained.files()

    ended = tp("train", "--resume", "foreign")

    assert ended.code == 2
    assert "imported without a dataset" in ended.err
    assert "--experiment" in ended.err
    assert trained.files() == before


def test_with_an_experiment_an_imported_run_is_trained_on(trained: Project, tp: Tp) -> None:
    out = write_nanogpt(trained.root / "nano")
    ended = tp("import", out, "--run-id", "foreign", "--experiment", "tiny", "--json")
    assert ended.code == 0, ended.err
    assert ended.lines[0]["has_dataset"]
    assert ended.lines[0]["notices"] == []
    run = trained.run_named("foreign")
    start = load_payload(run.checkpoints / "last.pt")

    resumed = tp("train", "--resume", "foreign", "--set", "train.runtime.max_iters=5")

    assert resumed.code == 0, resumed.err
    end = load_payload(run.checkpoints / "last.pt")
    assert end["step"] == 5
    state = end["optimizer"]["AdamW"]["state"]
    assert [float(each["step"]) for each in state.values()] == [5.0] * len(state)
    assert start["tokens_seen"] == 3 * 2 * 6
    assert end["tokens_seen"] == start["tokens_seen"] + 2 * 2 * 6
    assert (run.checkpoints / "best_val.pt").exists()
    (rows,) = tp("runs", "--json").lines
    row = next(row for row in rows if row["run_id"] == "foreign")
    assert (row["state"], row["experiment"], row["step"]) == ("finished", "tiny", 5)


def test_an_imported_run_is_branched_from_its_weights_and_stays_as_it_was(
    trained: Project, tp: Tp
) -> None:
    out = write_nanogpt(trained.root / "nano")
    assert tp("import", out, "--run-id", "foreign", "--experiment", "tiny").code == 0
    foreign = trained.run_named("foreign")
    before = {path: path.read_bytes() for path in foreign.root.rglob("*") if path.is_file()}
    folders = trained.root / "experiments", trained.root / "runs"
    changes = ("train.runtime.max_iters=4", "train.optim.weight_decay=0.5")
    launch = Launch("tiny", changes, run_id="twig", branch=("foreign", "last"))

    with pytest.raises(UsageError, match="A branch from step 3 of run 'foreign' has no step"):
        resolve_launch(*folders, replace(launch, overrides=("train.runtime.max_iters=3",)))
    branched = resolve_launch(*folders, launch)
    assert remaining_part(branched).loaded.config.train.runtime.max_iters == 1
    assert form_title(launch, None, folders[1], str) == "Branch from foreign at step 3 (last)"
    assert branched.prepare(print) is None
    branched.train([], TrainingControl(), lambda _: None)

    twig = load_payload(trained.run_named("twig").checkpoints / "ckpt_last_00000003.pt")
    origin = load_payload(foreign.checkpoints / "last.pt")
    # It starts with a checkpoint of what it starts from.
    for part in ("step", "tokens_seen", "model"):
        assert equal(twig[part], origin[part]), part
    states = [payload["optimizer"]["AdamW"]["state"] for payload in (twig, origin)]
    assert equal(*states)
    assert twig["config"]["train"]["optim"]["weight_decay"] == 0.5
    assert {path: path.read_bytes() for path in before} == before


def test_the_tokenizer_of_a_named_experiment_must_be_that_of_the_model(
    trained: Project, tp: Tp
) -> None:
    out = write_nanogpt(trained.root / "nano", ALPHABET[::-1])
    before = trained.files()
    ended = tp("import", out, "--experiment", "tiny")
    assert ended.code == 2
    assert "another tokenizer" in ended.err
    assert trained.files() == before


def test_a_named_experiment_gives_a_model_without_a_tokenizer_its_own(
    trained: Project, tp: Tp
) -> None:
    out = write_nanogpt(trained.root / "nano")
    (trained.root / "nano" / "data" / "bottles" / "meta.pkl").unlink()
    alone = tp("import", out)
    assert alone.code == 2
    assert "tokenizer" in alone.err
    ended = tp("import", out / "ckpt.pt", "--run-id", "foreign", "--experiment", "tiny")
    assert ended.code == 0, ended.err
    assert "the tokenizer is that of experiment 'tiny'" in ended.err
    assert tp("sample", "foreign", "--max-new-tokens", 3).code == 0


def test_an_experiment_without_its_dataset_is_named_with_the_command(
    project: Project, tp: Tp
) -> None:
    ended = tp("import", write_nanogpt(project.root / "nano"), "--experiment", "tiny")
    assert ended.code == 1
    assert "tp prepare tiny" in ended.err
    assert project.runs == []


def test_a_nanogpt_folder_among_the_runs_names_the_command(trained: Project, tp: Tp) -> None:
    write_nanogpt(trained.root / "runs")
    command = "tp import runs/out-bottles"
    for words in (("runs",), ("runs", "show", "out-bottles")):
        ended = tp(*words)
        assert ended.code == 0
        assert command in ended.out
    compared = tp("compare", "--run-ids", "first,out-bottles")
    assert compared.code != 0
    assert command in compared.err


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_nothing_to_import_is_one_sentence(project: Project, tp: Tp, name: str) -> None:
    (project.root / "empty").mkdir()
    ended = tp("import", name)
    assert ended.code == 2
    assert ended.err.startswith(f"error: There is no model to import at {name}.")


def test_an_exported_run_comes_back_and_is_trained_on(trained: Project, tp: Tp) -> None:
    shape = ("--set", "model.positional_encoding=rope", "--set", "model.norm=rmsnorm")
    more = ("--set", "model.activation=swiglu", "--set", "train.runtime.max_iters=2")
    assert tp("train", "tiny", "--run-id", "llama", *shape, *more).code == 0
    out = trained.root / "folder"
    words = ("--to", "hf", "--checkpoint", "last", "--out", out, "--no-verify")
    exported = tp("export", "llama", *words)
    assert exported.code == 0, exported.err

    ended = tp("import", out, "--run-id", "back", "--experiment", "tiny", "--json")

    assert ended.code == 0, ended.err
    (document,) = ended.lines
    check("import", document)
    assert (document["format"], document["tokenizer"]) == ("huggingface", "char")
    before = load_payload(trained.run_named("llama").checkpoints / "last.pt")
    after = load_payload(trained.run_named("back").checkpoints / "last.pt")
    assert before["model"].keys() == after["model"].keys()
    assert all(torch.equal(before["model"][name], after["model"][name]) for name in after["model"])
    resumed = tp("train", "--resume", "back", "--set", "train.runtime.max_iters=3")
    assert resumed.code == 0, resumed.err
    assert load_payload(trained.run_named("back").checkpoints / "last.pt")["step"] == 3


def test_a_folder_of_an_unknown_architecture_is_refused_by_its_name(
    project: Project, tp: Tp
) -> None:
    folder = project.root / "falcon"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "falcon", "architectures": ["FalconForCausalLM"]}'
    )
    ended = tp("import", folder)
    assert ended.code == 1
    assert "FalconForCausalLM, which cannot be imported" in ended.err
    assert project.runs == []
