"""`tp export`: what it writes, when it writes nothing, and faults that leave nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.commands import Project, Tp
from builders.schemas import check
from transformer_playground.export import staging
from transformer_playground.export.hf import mapping, target, tensors
from transformer_playground.export.hf.tokenizer import write_tokenizer
from transformer_playground.export.target import Written
from transformer_playground.export.weights import layer_weights

NAMES = {
    "README.md",
    "SHA256SUMS",
    "config.json",
    "export.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


def exports_of(project: Project) -> list[str]:
    """Names in the run's exports folder, hidden ones included."""
    folder = project.run_named("first").root / "exports"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_run_becomes_a_folder_that_plain_transformers_loads(project: Project, tp: Tp) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ended = tp("export", "first", "--to", "hf", "--json", "--license", "mit", "--name", "bottles")

    assert ended.code == 0, ended.err
    (document,) = ended.lines
    check("export", document)
    folder = project.root / document["folder"]
    assert {path.name for path in folder.iterdir()} == NAMES == set(document["files"])
    assert document["proof"]["greedy_equal"] == document["proof"]["greedy_tokens"]
    readme = (folder / "README.md").read_text()
    assert readme.startswith('---\nlicense: "mit"\n')
    for said in ("# bottles", "`first`", "step 4", "nats per token", "within", "transformers"):
        assert said in readme
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("1 bottle").input_ids) == "1 bottle"
    assert (model.generation_config.temperature, model.generation_config.max_new_tokens) == (
        0.8,
        40,
    )


def test_the_hashes_are_those_of_the_files_and_files_follow_the_umask(
    project: Project, tp: Tp
) -> None:
    former = os.umask(0o027)
    try:
        assert tp("export", "first", "--to", "hf", "--out", "out").code == 0
    finally:
        os.umask(former)
    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"],
        cwd=project.root / "out",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    modes = {path.stat().st_mode & 0o777 for path in (project.root / "out").iterdir()}
    assert modes == {0o640}


def test_a_second_export_is_a_no_op_that_says_so_and_repeats_the_proof(
    project: Project, tp: Tp
) -> None:
    first = tp("export", "first", "--to", "safetensors")
    proof = first.out.splitlines()[1]
    assert "gives the run's log-probabilities" in proof
    before = project.files()
    ended = tp("export", "first", "--to", "safetensors", "--json")

    assert ended.lines[0]["up_to_date"] is True
    check("export", ended.lines[0])
    again = tp("export", "first", "--to", "safetensors").out.splitlines()
    assert ("is up to date" in again[0], again[1:]) == (True, [proof])
    assert project.files() == before


def test_another_export_is_replaced_only_with_force(project: Project, tp: Tp) -> None:
    assert tp("export", "first", "--to", "safetensors", "--out", "out").code == 0
    before = project.files()
    refused = tp("export", "first", "--to", "safetensors", "--out", "out", "--dtype", "float16")
    assert (refused.code, "--force" in refused.err) == (2, True)
    assert project.files() == before

    forced = tp(
        *("export", "first", "--to", "safetensors", "--out", "out", "--dtype", "float16"), "--force"
    )
    assert forced.code == 0, forced.err
    assert json.loads((project.root / "out" / "config.json").read_text())["dtype"] == "float16"
    assert sorted(path.name for path in project.root.glob("*out*")) == ["out"]


def test_a_damaged_export_is_not_up_to_date(project: Project, tp: Tp) -> None:
    assert tp("export", "first", "--to", "safetensors", "--out", "out").code == 0
    with (project.root / "out" / "model.safetensors").open("ab") as file:
        file.write(b"x")
    assert tp("export", "first", "--to", "safetensors", "--out", "out").code == 2


@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_what_is_no_export_is_never_replaced(what: str, project: Project, tp: Tp) -> None:
    place = project.root / "mine"
    if what == "folder":
        place.mkdir()
        (place / "thesis.tex").write_text("mine")
    elif what == "file":
        place.write_text("mine")
    else:
        place.symlink_to(project.experiment)
    before = project.files()
    ended = tp("export", "first", "--to", "safetensors", "--out", "mine", "--force")

    assert (ended.code, ended.out) == (2, "")
    assert "mine already exists and is not a complete export" in ended.err
    assert project.files() == before


@pytest.mark.parametrize(
    "name", ["späte Züge 🚂", "-dash", "a'b\"c$(x)", "tab\there\nline", "x" * 200]
)
def test_odd_names_of_folders_work(name: str, project: Project, tp: Tp) -> None:
    ended = tp("export", "first", "--to", "safetensors", f"--out={name}/{name}")

    assert ended.code == 0, ended.err
    assert (project.root / name / name / "model.safetensors").is_file()
    assert len(ended.out.splitlines()) == 2


def test_rounding_is_priced_in_bits_per_byte(project: Project, tp: Tp) -> None:
    ended = tp("export", "first", "--to", "hf", "--dtype", "bfloat16", "--json")

    proof = ended.lines[0]["proof"]
    assert proof["bits_per_byte_before"] != proof["bits_per_byte_after"]
    assert proof["bits_per_byte_before"] == pytest.approx(proof["bits_per_byte_after"], abs=0.02)
    assert proof["largest_difference"] < 1e-5


def test_without_verification_the_export_says_so(project: Project, tp: Tp) -> None:
    ended = tp("export", "first", "--to", "hf", "--out", "out", "--no-verify", "--json")

    assert (ended.code, ended.lines[0]["proof"]) == (0, None)
    check("export", ended.lines[0])
    assert "Not verified" in (project.root / "out" / "README.md").read_text()
    stamp = json.loads((project.root / "out" / "export.json").read_text())
    assert (stamp["proof"], stamp["inputs"]["verified"]) == (None, False)


def test_without_the_dataset_random_tokens_are_compared(project: Project, tp: Tp) -> None:
    shutil.rmtree(project.experiment / "datasets")
    ended = tp("export", "first", "--to", "safetensors", "--json")

    proof = ended.lines[0]["proof"]
    assert (proof["origin"], proof["bits_per_byte_before"]) == ("random tokens", None)
    assert "compared on random tokens" in ended.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--to", "coreml"), 2, "'coreml' is not an export target"),
        (("--to", "hf", "--dtype", "float8"), 2, "float8 is not known"),
        (("--to", "hf", "--quantize", "q8_0"), 2, "--quantize does not apply"),
        (("--to", "onnx", "--custom-code"), 2, "--custom-code does not apply"),
        (("--to", "hf", "--checkpoint", "nope.pt"), 1, "no checkpoint 'nope.pt'"),
        (("--to", "hf", "--dataset", "nowhere"), 1, "nowhere"),
        (("--to", "hf", "--out", "experiments/tiny/config.toml/x"), 1, "cannot be written"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_left(
    words: tuple[str, ...], code: int, said: str, project: Project, tp: Tp
) -> None:
    before = project.files()
    ended = tp("export", "first", *words)

    assert (ended.code, ended.out) == (code, ""), ended.err
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert project.files() == before


def swap_norms(model: Any) -> dict[str, torch.Tensor]:
    found = tensors.gpt2(model)
    for index in range(model.config.n_layer):
        one, two = (f"transformer.h.{index}.ln_{number}.weight" for number in (1, 2))
        found[one], found[two] = found[two], found[one]
    return found


def spoil(patch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Change every row of the table of classes."""
    import dataclasses

    rows = tuple(dataclasses.replace(row, **changes) for row in mapping.CLASSES)
    patch.setattr(mapping, "CLASSES", rows)


@pytest.mark.parametrize("fault", ["norms", "eps", "positions", "activation", "tokenizer", "nan"])
def test_a_fault_of_the_exporter_is_found_and_leaves_nothing(
    fault: str, project: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = project.run_named("first").checkpoints
    _stir_norms(checkpoint)
    rows = {row.name: row for row in mapping.CLASSES}
    gpt2 = rows["GPT2LMHeadModel"]
    match fault:
        case "norms":
            spoil(monkeypatch, tensors=swap_norms)
        case "eps":
            spoil(monkeypatch, settings=lambda c: gpt2.settings(c) | {"layer_norm_epsilon": 1e-6})
        case "activation":
            spoil(
                monkeypatch, settings=lambda c: gpt2.settings(c) | {"activation_function": "silu"}
            )
        case "positions":
            monkeypatch.setattr(
                tensors, "position_table", lambda model: model.positions.weight.detach().flip(0)
            )
        case "nan":
            spoil(
                monkeypatch,
                tensors=lambda m: {k: v * float("nan") for k, v in tensors.gpt2(m).items()},
            )
        case "tokenizer":
            own = write_tokenizer

            def shuffled(tokenizer: Any, folder: Path, *, context: int) -> None:
                own(tokenizer, folder, context=context)
                path = folder / "tokenizer.json"
                spec = json.loads(path.read_bytes())
                names = list(spec["model"]["vocab"])
                spec["model"]["vocab"] = dict(zip(names, reversed(range(len(names))), strict=True))
                path.write_text(json.dumps(spec))

            monkeypatch.setattr(target, "write_tokenizer", shuffled)
    ended = tp("export", "first", "--to", "hf")

    assert (ended.code, ended.out) == (1, "")
    assert "does not compute what the run computes" in ended.err
    assert exports_of(project) == []


def _stir_norms(checkpoints: Path) -> None:
    """Give the two norms of each block different gains, as longer training would."""
    for path in checkpoints.glob("*.pt"):
        payload = torch.load(path, weights_only=True)
        for name, tensor in payload["model"].items():
            if name.endswith("_norm.weight"):
                tensor.mul_(2.0 if "mlp" in name else 0.5)
        torch.save(payload, path)
        path.with_suffix(".json").unlink()
    for path in checkpoints.glob("*.pt"):
        if path.name != "last.pt":
            path.unlink()
    (checkpoints / "last.pt").rename(checkpoints / "ckpt.pt")


@pytest.mark.parametrize("call", ["write_weights", "write_tokenizer", "replace_json"])
@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    call: str, kind: type[Exception], project: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind(28, "No space left on device")

    monkeypatch.setattr(target, call, fail)
    ended = tp("export", "first", "--to", "hf")

    assert (ended.code, ended.out) == (1, "")
    assert "cannot be written" in ended.err
    assert "No space left on device" in ended.err
    assert exports_of(project) == []


def test_a_full_disk_during_a_replacement_keeps_the_earlier_export(
    project: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tp("export", "first", "--to", "safetensors", "--out", "out").code == 0
    before = project.files()
    monkeypatch.setattr(
        staging, "_put", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full"))
    )
    words = ("--to", "safetensors", "--out", "out", "--dtype", "float16", "--force")

    assert tp("export", "first", *words).code == 1
    assert project.files() == before


def test_what_a_killed_export_left_is_removed_by_the_next(project: Project, tp: Tp) -> None:
    gone = _process_that_has_ended()
    exports = project.run_named("first").root / "exports"
    for name in (f".safetensors-step-4.{gone}-ab12.tmp", f".other.{gone}-ab12.tmp"):
        (exports / name).mkdir(parents=True)
    living = f".safetensors-step-4.{os.getpid()}-ab12.tmp"
    (exports / living).mkdir()
    assert tp("export", "first", "--to", "safetensors").code == 0

    assert exports_of(project) == [f".other.{gone}-ab12.tmp", living, "safetensors-step-4"]


def test_a_replacement_that_was_killed_between_two_names_is_undone(
    project: Project, tp: Tp
) -> None:
    assert tp("export", "first", "--to", "safetensors").code == 0
    exports = project.run_named("first").root / "exports"
    former = exports / f".safetensors-step-4.{_process_that_has_ended()}-ab12-former.tmp"
    (exports / "safetensors-step-4").rename(former)
    ended = tp("export", "first", "--to", "safetensors", "--dtype", "float16")
    assert ended.code == 0

    assert exports_of(project)[0].startswith(".safetensors-step-4")
    assert tp("export", "first", "--to", "safetensors").code == 0
    assert exports_of(project) == ["safetensors-step-4", "safetensors-step-4-float16"]


@pytest.mark.parametrize(
    ("module", "function"),
    [(target, "write_tokenizer"), (Written, "prove"), (staging, "_finish")],
    ids=["writing", "comparing", "finishing"],
)
def test_a_killed_export_leaves_nothing_that_looks_finished(
    project: Project, tp: Tp, module: object, function: str
) -> None:
    process = os.fork()
    if not process:
        setattr(module, function, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        try:
            tp("export", "first", "--to", "hf")
        finally:
            os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    (leftover,) = exports_of(project)
    assert leftover.startswith(".hf-step-4.")

    assert tp("export", "first", "--to", "hf").code == 0
    assert exports_of(project) == ["hf-step-4"]


def _process_that_has_ended() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_nanogpt_folder_is_exported_too(project: Project, tp: Tp) -> None:
    foreign = project.root / "runs" / "foreign"
    foreign.mkdir()
    shutil.copy(project.run_named("first").tokenizer / "meta.pkl", foreign)
    shape = {
        "n_layer": 1,
        "n_head": 2,
        "n_embd": 8,
        "block_size": 6,
        "vocab_size": 28,
        "bias": True,
    }
    generator = torch.Generator().manual_seed(0)
    sizes = {"wte": (28, 8), "wpe": (6, 8), "ln_f": (8,)}
    block = {"ln_1": (8,), "attn.c_attn": (24, 8), "attn.c_proj": (8, 8)}
    block |= {"ln_2": (8,), "mlp.c_fc": (32, 8), "mlp.c_proj": (8, 32)}
    sizes |= {f"h.0.{name}": size for name, size in block.items()}
    weights = {}
    for name, size in sizes.items():
        weights[f"transformer.{name}.weight"] = torch.randn(size, generator=generator)
        if name not in ("wte", "wpe"):
            weights[f"transformer.{name}.bias"] = torch.randn(size[0], generator=generator)
    torch.save({"model": weights, "model_args": shape, "iter_num": 7}, foreign / "ckpt.pt")
    ended = tp("export", "foreign", "--to", "hf", "--json")

    assert ended.code == 0, ended.err
    proof = ended.lines[0]["proof"]
    assert (proof["origin"], proof["texts"]) == ("random tokens", 2)


def test_layers_without_an_mlp_have_one_of_zeros() -> None:
    from builders.models import lively_model

    (layer, _) = layer_weights(lively_model(mlp_enabled=False))
    assert not layer.up.weight.any()
    assert not layer.down.weight.any()
