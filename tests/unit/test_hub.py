import logging
import os
import warnings
from pathlib import Path

import httpx2
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as model_logging

from builders.hostile import Panic
from transformer_playground.errors import DataError, ModelError
from transformer_playground.hub import silence_libraries, translate_load_errors

_REQUEST = httpx2.Request("GET", "https://hub.invalid/model")
_NAME = "nobody/nothing"


def _explanation(error: Exception, name: str = _NAME, revision: str | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught, translate_load_errors(name, revision):
        raise error
    return caught.value


def test_a_model_that_is_not_on_disk_says_how_to_fetch_it_offline() -> None:
    with pytest.raises(ModelError) as caught, translate_load_errors(_NAME, "v2"):
        AutoConfig.from_pretrained(_NAME, revision="v2")
    assert "is not on this disk" in caught.value.message
    assert "HF_HUB_OFFLINE" in str(caught.value)
    assert "hf download nobody/nothing --revision v2 --local-dir nothing" in caught.value.hint
    assert 'hf_model.model_name = "./nothing"' in caught.value.hint
    assert "HF_HOME" in caught.value.hint


def test_a_tokenizer_that_is_not_on_disk_says_the_same() -> None:
    with pytest.raises(ModelError, match="is not on this disk"), translate_load_errors(_NAME):
        AutoTokenizer.from_pretrained(_NAME)


def test_an_unreachable_hub_is_told_from_a_forbidden_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    told = _explanation(LocalEntryNotFoundError("cannot be reached"))
    assert "the hub cannot be reached" in told.message
    assert "hf download nobody/nothing --local-dir nothing" in told.hint


def test_a_gated_model_says_how_to_get_leave_and_where_the_token_goes() -> None:
    told = _explanation(GatedRepoError("403", response=httpx2.Response(403, request=_REQUEST)))
    assert "gated" in told.message
    assert "licence" in told.hint
    assert "HF_TOKEN" in told.hint


def test_an_unknown_model_names_the_setting() -> None:
    told = _explanation(
        RepositoryNotFoundError("404", response=httpx2.Response(404, request=_REQUEST))
    )
    assert _NAME in told.message
    assert "hf_model.model_name" in told.hint


def test_an_unknown_revision_is_named() -> None:
    error = RevisionNotFoundError("404", response=httpx2.Response(404, request=_REQUEST))
    assert "no revision 'v9'" in _explanation(error, revision="v9").message


@pytest.mark.parametrize("name", ["a b", "a//b"])
def test_an_impossible_name_is_called_so(name: str) -> None:
    with (
        pytest.raises(ModelError, match="not a valid model name"),
        translate_load_errors(name),
    ):
        AutoConfig.from_pretrained(name)


def test_a_missing_folder_is_called_a_folder(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(ModelError, match="There is no folder"), translate_load_errors(missing):
        AutoConfig.from_pretrained(missing)


def test_a_cause_further_back_is_found() -> None:
    try:
        raise GatedRepoError("403", response=httpx2.Response(403, request=_REQUEST))
    except GatedRepoError as cause:
        wrapped = OSError("something went wrong")
        wrapped.__cause__ = cause
    assert "gated" in _explanation(wrapped).message


def test_a_token_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    error = ValueError("Illegal header value b'Bearer hf_secret '")
    told = _explanation(error, str(tmp_path))
    assert "Illegal header" in str(told)
    assert "hf_secret" not in str(told)


def test_a_panic_of_a_library_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught, translate_load_errors(str(tmp_path)):
        raise Panic("index out of bounds")
    assert caught.value.message == f"{tmp_path} cannot be loaded: index out of bounds."


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_what_must_end_a_process_is_no_fault_of_a_model(error: BaseException) -> None:
    with pytest.raises(type(error)), translate_load_errors(_NAME):
        raise error


def test_no_memory_is_no_fault_of_the_file() -> None:
    assert "does not fit into memory" in _explanation(MemoryError()).message


def test_an_error_of_ours_passes_as_it_is() -> None:
    with pytest.raises(DataError, match="mine"), translate_load_errors(_NAME):
        raise DataError("mine")


def test_an_unknown_fault_is_quoted_in_short(tmp_path: Path) -> None:
    error = RuntimeError("the wheel\nstopped.\nTry asking the miller.")
    told = _explanation(error, str(tmp_path))
    assert told.message == f"{tmp_path} cannot be loaded: the wheel stopped."


def test_bars_and_notes_are_off_inside_and_as_before_afterwards(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = model_logging.get_verbosity(), model_logging.is_progress_bar_enabled()
    logger = model_logging.get_logger("transformers.test")
    with silence_libraries():
        logger.warning("a note")
        warnings.warn("will change", FutureWarning, stacklevel=1)
        assert not model_logging.is_progress_bar_enabled()
        assert model_logging.get_verbosity() == logging.ERROR
    assert (model_logging.get_verbosity(), model_logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr().err == ""


def test_they_come_back_after_a_fault() -> None:
    before = model_logging.is_progress_bar_enabled()
    _explanation(RuntimeError("no"))
    assert model_logging.is_progress_bar_enabled() is before


def test_no_service_is_asked_to_convert_weights() -> None:
    with silence_libraries():
        assert os.environ["DISABLE_SAFETENSORS_CONVERSION"] == "1"
