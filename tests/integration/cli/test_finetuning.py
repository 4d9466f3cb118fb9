"""Every verb on an experiment of kind "lora", and its faults as a user meets them."""

import shutil
from pathlib import Path

import pytest
from safetensors import SafetensorError

from builders.base_models import build_model_folder
from builders.commands import Project, Tp
from builders.finetuning import make_finetuning_project
from builders.hostile import Panic
from builders.schemas import check
from transformer_playground.cli.main import main


@pytest.fixture(scope="session")
def finetuned_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose model was finetuned as the run `first`; not to be changed."""
    project = make_finetuning_project(tmp_path_factory.mktemp("finetuned") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        assert main(["loop", "tiny", "--run-id", "first"]) == 0
    return project


@pytest.fixture
def project(tmp_path: Path, finetuned_once: Project) -> Project:
    """A copy of the finetuned project."""
    shutil.copytree(finetuned_once.root, tmp_path / "project")
    return Project(tmp_path / "project")


def test_every_command_that_reads_a_run_works(project: Project, tp: Tp) -> None:
    assert tp("train", "tiny", "--run-id", "second", "--set", "peft.r=2").code == 0

    samples = tp("generate", "--run-id", "first", "--n-samples", "2", "--json")
    assert samples.code == 0, samples.err
    rows = [line for line in samples.lines if line["event"] == "sample"]
    assert [row["prompt"] for row in rows] == ["The cat"] * 2
    for line in samples.lines:
        check("sample", line)
    compared = tp("compare", "--run-ids", "first,second", "--json")
    assert compared.code == 0, compared.err
    check("compare", compared.lines[0])
    assert "peft.r" in compared.out
    report = tp("report", "--run-id", "first", "--n-samples", "3", "--json")
    assert report.code == 0, report.err
    check("report", report.lines[0])
    assert report.lines[0]["evaluation"]["full_validation"]["loss"] > 0
    for view in (("--attention",), ("--ablate", "all"), ("--model", "--split", "val")):
        inspected = tp("inspect", "first", *view, "--json")
        assert inspected.code == 0, inspected.err
        check("inspect", inspected.lines[0])
    measured = tp("eval", "first", "--pairs", "en", "--json")
    assert measured.code == 0, measured.err
    check("eval", measured.lines[0])
    whole = report.lines[0]["evaluation"]["full_validation"]["loss"]
    assert measured.lines[0]["loss"] == pytest.approx(whole, rel=1e-3)
    shown = tp("runs", "show", "first", "--json")
    assert shown.code == 0
    check("runs-show", shown.lines[0])


def test_a_learning_rate_is_found_and_no_run_is_made(project: Project, tp: Tp) -> None:
    runs = [run.run_id for run in project.runs]

    found = tp("lr-find", "tiny", "--steps", "10", "--json")

    assert found.code == 0, found.err
    check("lr-find", found.lines[0])
    assert len(found.lines[0]["losses"]) == 10
    assert [run.run_id for run in project.runs] == runs


def test_a_run_is_resumed_by_its_name(project: Project, tp: Tp) -> None:
    ended = tp("train", "tiny", "--run-id", "first", "--set", "train.runtime.max_iters=10")

    assert ended.code == 0, ended.err
    assert "step 10: finished" in ended.out


def test_the_merged_folder_is_a_model_that_plain_transformers_loads(
    project: Project, tp: Tp
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from transformer_playground.checkpoints.discovery import choose
    from transformer_playground.checkpoints.loading import build_model, load_payload

    ended = tp("export-adapter", "first", "--merge", "--out", "merged", "--json")

    assert ended.code == 0, ended.err
    check("export-adapter", ended.lines[0])
    assert ended.lines[0]["format"] == "transformers"
    folder = project.root / "merged"
    run = project.run_named("first")
    adapted = build_model(load_payload(choose(run.checkpoints, "auto").path))
    tokens = torch.tensor([AutoTokenizer.from_pretrained(folder)("The cat sat")["input_ids"]])
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(folder).eval()(input_ids=tokens).logits
        torch.testing.assert_close(merged, adapted(tokens), rtol=1e-4, atol=1e-4)


def test_adapters_are_exported_for_peft_beside_the_run(project: Project, tp: Tp) -> None:
    ended = tp("export-adapter", "first", "--checkpoint", "last")

    assert ended.code == 0, ended.err
    folder = project.root / "runs" / "first" / "exports" / "adapter-step-8"
    assert str(folder.relative_to(project.root)) in ended.out
    names = {path.name for path in folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert "meta.pkl" not in names
    assert not list(folder.parent.glob(".*"))


def test_an_existing_folder_is_not_written_into(project: Project, tp: Tp) -> None:
    (project.root / "mine").mkdir()
    ended = tp("export-adapter", "first", "--merge", "--out", "mine")

    assert ended.code == 2
    assert "mine already exists" in ended.err
    assert not any((project.root / "mine").iterdir())


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("kind", [OSError, SafetensorError, RuntimeError])
def test_an_export_to_a_full_disk_is_one_sentence_and_leaves_nothing(
    kind: type[Exception], merge: bool, project: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind("I/O error: No space left on device (os error 28)")

    saved = "transformers.PreTrainedModel.save_pretrained"
    own = "transformer_playground.export.adapter.save_adapter"
    monkeypatch.setattr(saved if merge else own, fail)
    ended = tp("export-adapter", "first", "--out", "mine", *(["--merge"] if merge else []))

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: mine cannot be written: I/O error: No space left on device")
    assert ended.err.count("\n") == 2
    assert not list(project.root.glob("*mine*"))


def test_a_run_of_a_model_of_its_own_has_no_adapters(trained_once: Project, tp: Tp) -> None:
    ended = tp("export-adapter", "first", "--runs-dir", trained_once.root / "runs")

    assert (ended.code, ended.out) == (1, "")
    assert "has no adapters" in ended.err


@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ("hf_model.model_name=./nowhere", 1, "nowhere"),
        ("hf_model.model_name=nobody/no-such-model", 1, "hf download nobody/no-such-model"),
        ('peft.target_modules=["q_prj"]', 2, "q_proj"),
        ("hf_model.block_size=4096", 1, "block_size"),
        ("train.optim.optimizer=muon", 2, "muon"),
        ("model.n_layer=9", 2, "model.n_layer"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_left(
    setting: str, code: int, said: str, project: Project, tp: Tp
) -> None:
    ended = tp("loop", "tiny", "--run-id", "wrong", "--set", setting)

    assert (ended.code, "Traceback" in ended.err) == (code, False), ended.err
    assert said in ended.err
    assert not (project.root / "runs" / "wrong").exists()


def test_a_moved_base_model_is_asked_for_by_name(project: Project, tp: Tp) -> None:
    assert tp("train", "tiny", "--run-id", "mine").code == 0
    shutil.rmtree(project.experiment / "tiny-qwen2")
    ended = tp("sample", "mine")

    assert ended.code == 1
    assert "tiny-qwen2" in ended.err
    assert "Traceback" not in ended.err
    assert "--set hf_model.model_name=" in ended.err
    build_model_folder("qwen2", project.root)
    found = tp("sample", "mine", "--set", "hf_model.model_name=./tiny-qwen2")
    assert (found.code, found.out.startswith("The cat")) == (0, True), found.err
    report = tp("report", "--run-id", "mine", "--n-samples", "2", "--base", "./tiny-qwen2")
    assert report.code == 0, report.err
    exported = tp("export-adapter", "mine", "--merge", "--base", "./tiny-qwen2")
    assert exported.code == 0, exported.err


def test_documents_that_were_padded_in_training_are_evaluated_alone(
    project: Project, tp: Tp
) -> None:
    setting = ("--set", "hf_model.packing=false", "--set", "train.runtime.eval_iters=50")
    assert tp("train", "tiny", "--run-id", "padded", *setting).code == 0
    evaluation = tp("report", "--run-id", "padded", "--n-samples", "2", "--json").lines[0][
        "evaluation"
    ]

    # Fifty random batches of the two held-out documents see both of them again and again.
    whole, drawn = evaluation["full_validation"], evaluation["windows"]["val_loss"]
    assert whole["share"] == 1.0
    assert whole["loss"] == pytest.approx(drawn, rel=0.02)


def test_other_settings_of_training_cannot_change_when_sampling(project: Project, tp: Tp) -> None:
    ended = tp("sample", "first", "--set", "peft.r=2")

    assert ended.code == 2
    assert "peft cannot change after training" in ended.err
    assert "kind = 'gpt'" not in ended.err


def test_a_dataset_of_another_base_is_not_finetuned_on(project: Project, tp: Tp) -> None:
    (project.root / "other").mkdir()
    build_model_folder("qwen2", project.root / "other", bos=True)
    other = project.root / "other" / "tiny-qwen2"
    ended = tp("train", "tiny", "--run-id", "wrong", "--set", f"hf_model.model_name={other}")

    assert ended.code == 1
    assert "was prepared for another base model" in ended.err
    assert "tp prepare tiny" in ended.err


def test_a_resumed_run_reports_no_unchanged_settings(project: Project, tp: Tp) -> None:
    ended = tp("train", "tiny", "--run-id", "first", "--set", "train.runtime.max_iters=9")

    assert ended.code == 0
    assert "keeping" not in ended.err
    assert "peft" not in ended.err


def test_a_dataset_of_a_model_of_our_own_is_not_finetuned_on(project: Project, tp: Tp) -> None:
    own = tp(
        "prepare",
        "tiny",
        "--set",
        "experiment.kind=gpt",
        "--set",
        "prepare.tokenizer_type=char",
        "--set",
        "hf_model.model_name=''",
        "--set",
        "hf_model.block_size=256",
        "--set",
        "peft.r=8",
        "--set",
        "peft.lora_dropout=0.05",
    )
    assert own.code == 0, own.err
    ended = tp("train", "tiny", "--run-id", "wrong")

    assert ended.code == 1
    assert "tp prepare tiny" in ended.err


def test_resuming_again_and_again_reports_only_what_the_command_changes(
    project: Project, tp: Tp
) -> None:
    for steps in (10, 12, 14):
        ended = tp("loop", "tiny", "--resume", "--set", f"train.runtime.max_iters={steps}")
        assert ended.code == 0, ended.err
        assert [line for line in ended.err.splitlines() if "the run's" in line] == [
            f"train.runtime.max_iters: {steps} instead of the run's {steps - 2}"
        ]


@pytest.mark.parametrize("setting", ["peft.r=16", "peft.target_modules=q_proj"])
def test_a_resume_refuses_other_adapters_and_takes_its_own(
    setting: str, project: Project, tp: Tp
) -> None:
    ended = tp("loop", "tiny", "--resume", "--set", setting)
    assert ended.code == 2
    assert "cannot be set: a run keeps the adapters it was trained with" in ended.err
    same = ["--set", "peft.r=4", "--set", "peft.target_modules=auto"]
    assert tp("loop", "tiny", "--resume", *same).code == 0


def test_a_resume_on_another_base_model_is_refused_and_leaves_the_dataset(
    project: Project, tp: Tp
) -> None:
    build_model_folder("llama", project.experiment)
    before = project.files()
    other = f"hf_model.model_name={project.experiment / 'tiny-llama'}"
    ended = tp("loop", "tiny", "--resume", "--set", other)
    assert ended.code == 1
    assert "tiny-llama" in ended.err
    assert "Traceback" not in ended.err
    assert project.files() == before


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("AutoTokenizer", ("prepare", "tiny", "--force")),
        ("AutoTokenizer", ("loop", "tiny", "--set", "prepare.val_fraction=0.4")),
        ("AutoModelForCausalLM", ("train", "tiny")),
        ("AutoModelForCausalLM", ("sample", "first")),
        ("AutoModelForCausalLM", ("export-adapter", "first", "--merge")),
    ],
)
def test_a_panic_of_the_libraries_that_load_a_base_model_is_one_sentence(
    project: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch, broken: str, words: tuple[str, ...]
) -> None:
    def panic(*_: object, **__: object) -> None:
        raise Panic("called `Option::unwrap()` on a `None` value")

    monkeypatch.setattr(f"transformers.{broken}.from_pretrained", panic)
    ended = tp(*words)
    assert ended.code == 1
    assert "tiny-qwen2 cannot be loaded: called `Option::unwrap()` on a `None` value." in ended.err
    assert "Traceback" not in ended.err


def test_a_tokenizer_that_fails_only_in_use_is_one_sentence(
    project: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def panic(*_: object, **__: object) -> None:
        raise Panic("no entry found for key")

    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.__call__", panic)
    ended = tp("prepare", "tiny", "--force")
    assert ended.code == 1
    assert "tiny-qwen2 cannot be loaded: no entry found for key." in ended.err


def test_a_finetuned_model_cannot_be_quantized(project: Project, tp: Tp) -> None:
    ended = tp("sample", "first", "--quantization", "int8")
    assert ended.code == 2
    assert "does not apply to finetuned base models" in ended.err
    assert "Use 'none'." in ended.err
