"""Loading checkpoints: every fault is one clear error, and the model is the one that was saved."""

import contextlib
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.base_models import build_model_folder
from builders.checkpoints import flip_byte, gpt_payload, tiny_model
from builders.lora_models import adapted_model
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.checkpoints.store import CheckpointStore
from transformer_playground.errors import CheckpointError

TOKENS = torch.tensor([[1, 2, 3, 4]])


def write(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_a_loaded_model_computes_what_the_saved_one_did(tmp_path: Path) -> None:
    model = tiny_model().eval()
    store = CheckpointStore(tmp_path, keep_last=1, keep_best=1)
    info = store.save(gpt_payload(model), step=5, last=True, best_metric=None)[0]

    loaded = build_model(load_payload(info.path))

    assert not loaded.training
    assert torch.equal(loaded(TOKENS), model(TOKENS))


def test_averaged_weights_are_taken_unless_refused() -> None:
    model, average = tiny_model(), tiny_model(init_std=0.5)
    payload = gpt_payload(model, ema=average.state_dict())

    assert torch.equal(build_model(payload)(TOKENS), average(TOKENS))
    assert torch.equal(build_model(payload, use_ema=False)(TOKENS), model(TOKENS))


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rope", "alibi", "none"])
def test_a_model_of_any_positional_encoding_is_built(positions: str) -> None:
    model = tiny_model(positional_encoding=positions).eval()

    assert torch.equal(build_model(gpt_payload(model))(TOKENS), model(TOKENS))


def test_a_model_can_be_built_in_another_number_format() -> None:
    built = build_model(gpt_payload(tiny_model()), dtype=torch.bfloat16)

    assert {parameter.dtype for parameter in built.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: float) -> None:
    path = write(tmp_path / "a.pt", gpt_payload(tiny_model()))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if keep == 0.5 else int(keep)])

    with pytest.raises(CheckpointError, match="cannot be used"):
        load_payload(path)


def test_a_flipped_bit_is_caught_by_the_sidecar(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=1, keep_best=1)
    info = store.save(gpt_payload(tiny_model()), step=5, last=True, best_metric=None)[0]
    flip_byte(info.path)

    for path in (info.path, tmp_path / "last.pt"):
        with pytest.raises(CheckpointError, match="hash"):
            load_payload(path)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True))
def test_a_flipped_byte_without_a_sidecar_never_escapes_as_another_error(
    tmp_path: Path, place: float
) -> None:
    path = write(tmp_path / "a.pt", gpt_payload(tiny_model()))
    flip_byte(path, at=int(place * path.stat().st_size))

    with contextlib.suppress(CheckpointError):
        build_model(load_payload(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "a list"),
        (torch.ones(2), "a Tensor"),
        ({}, "not written by this program"),
        ({"weights": torch.ones(2)}, "not written by this program"),
        ({"format": "transformer-playground", "version": 2, "kind": "gpt"}, "format version 2"),
        ({"format": "transformer-playground", "version": 1, "kind": "vit"}, "'vit'"),
        ({"format": "transformer-playground", "version": 1, "kind": "gpt"}, "'step' is missing"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        load_payload(write(tmp_path / "a.pt", content))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 64, b"\x80\x02."])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
        load_payload(path)


def test_another_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")

    with pytest.raises(CheckpointError):
        load_payload(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load_payload(tmp_path / "a.pt")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Is a directory"):
        load_payload(tmp_path)


class Touch:
    """A pickle that would create a file when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("packed", [True, False])
def test_a_pickle_that_runs_code_does_not_run(tmp_path: Path, packed: bool) -> None:
    evil = gpt_payload(tiny_model(), config={"x": Touch(tmp_path / "owned")})
    path = tmp_path / "a.pt"
    if packed:
        write(path, evil)
    else:
        path.write_bytes(pickle.dumps({"x": Touch(tmp_path / "owned")}))

    with pytest.raises(CheckpointError):
        load_payload(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", "5"),
        ("step", True),
        ("model", None),
        ("model", {"a": 1}),
        ("model", {1: torch.ones(1)}),
        ("model_args", {"n_layer": -1, "vocab_size": 11}),
        ("model_args", {"n_layer": 2}),
        ("model_args", {"n_layer": 2, "vocab_size": 11, "surprise": 1}),
        ("model_args", {1: 2}),
        ("optimizer", []),
        ("ema", {"a": 1}),
        ("best_val_loss", "low"),
        ("progress", None),
    ],
)
def test_a_key_of_the_wrong_type_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    path = write(tmp_path / "a.pt", gpt_payload(tiny_model(), **{key: value}))

    with pytest.raises(CheckpointError, match=f"'{key}'") as caught:
        load_payload(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("key", sorted(gpt_payload(tiny_model())))
def test_a_missing_key_is_refused(tmp_path: Path, key: str) -> None:
    payload = gpt_payload(tiny_model())
    del payload[key]

    with pytest.raises(CheckpointError):
        load_payload(write(tmp_path / "a.pt", payload))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_embd": 16}, "has shape"),
        ({"n_layer": 1}, "does not have"),
        ({"n_layer": 3}, "lacks the weight"),
        ({"n_layer": 1000}, "too few"),
        ({"vocab_size": 1_000_000_000, "n_embd": 60_000}, "has shape"),
        ({"mlp_ratio": 1e9}, "has shape"),
        ({"block_size": 10**7}, "has shape"),
        ({"block_size": 10**12, "positional_encoding": "sinusoidal"}, "is invalid|more memory"),
        ({"bias": True}, "lacks the weight"),
    ],
)
def test_weights_that_do_not_fit_the_arguments_are_refused(
    change: dict[str, Any], said: str
) -> None:
    payload = gpt_payload(tiny_model())
    payload["model_args"] |= change

    with pytest.raises(CheckpointError, match=said):
        build_model(payload)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_layer": -1, "n_head": -1}, r"'model_args' is invalid: n_layer: [^:]*\.$"),
        ({"n_head": 3}, r"'model_args' is invalid: [^:]*n_embd[^:]*\.$"),
    ],
)
def test_the_first_invalid_argument_is_named_if_it_is_one(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    payload = gpt_payload(tiny_model())
    payload["model_args"] |= change

    with pytest.raises(CheckpointError) as caught:
        load_payload(write(tmp_path / "a.pt", payload))
    assert re.search(said, caught.value.message)


def test_layers_up_to_the_number_of_weights_are_looked_for_by_name() -> None:
    payload = gpt_payload(tiny_model())
    payload["model_args"]["n_layer"] = len(payload["model"])

    with pytest.raises(CheckpointError, match="lacks the weight"):
        build_model(payload)


@pytest.mark.parametrize("error", [RuntimeError("alloc"), MemoryError()])
def test_arguments_that_need_too_much_memory_are_refused(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    payload = gpt_payload(tiny_model())

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("transformer_playground.model.gpt.GPT", fail)
    with pytest.raises(CheckpointError, match="more memory than is available"):
        build_model(payload)


@pytest.mark.parametrize(
    ("base", "stated"),
    [
        (None, ("maker/model", "v1")),
        ("maker/copy", ("maker/copy", "v1")),
        ("./folder", ("./folder", None)),
    ],
)
def test_a_finetuned_model_can_be_built_on_a_base_that_has_moved(
    monkeypatch: pytest.MonkeyPatch, base: str | None, stated: tuple[str, str | None]
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(
        "transformer_playground.finetuning.build.rebuild",
        lambda args, *_, **__: built.append(args["hf_model"]),
    )
    settings = {"model_name": "maker/model", "revision": "v1", "dtype": "float32"}
    payload = gpt_payload(tiny_model(), kind="lora", model_args={"hf_model": settings})

    build_model(payload, base=base)

    assert (built[0]["model_name"], built[0]["revision"]) == stated
    assert built[0]["dtype"] == "float32"


def test_values_that_make_no_adapted_model_are_refused_with_the_file(tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("llama", tmp_path))
    payload = gpt_payload(tiny_model(), kind="lora", model=model.trained(), model_args=model.args())
    assert load_payload(write(tmp_path / "whole.pt", payload))["kind"] == "lora"

    payload["model_args"] |= {"vocab_size": 10**13}
    path = write(tmp_path / "hostile.pt", payload)

    with pytest.raises(
        CheckpointError, match=r"hostile\.pt cannot be used: .*vocab_size"
    ) as raised:
        load_payload(path)
    assert "Choose another checkpoint" in raised.value.hint


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", gpt_payload(tiny_model()))
    bomb = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
        target.writestr("archive/data/999", bytes(1 << 24))
    with pytest.raises(CheckpointError, match=r"unpack to 16\.\d MiB"):
        load_payload(bomb)
