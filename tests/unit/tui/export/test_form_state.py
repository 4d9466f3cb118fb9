"""The export form: its fields follow the table of targets."""

from pathlib import Path

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.export.request import TARGETS, ExportRequest
from transformer_playground.tui.core.checkpoints import Choice
from transformer_playground.tui.export.form_state import ExportForm, in_terms_of_the_form

BOTH = Choice(("best", "last", "ckpt.pt"), 40, 1.5)
OLDER = Choice(("ckpt_last_00000020.pt",), 20)


def form_for(target: str) -> ExportForm:
    form = ExportForm([BOTH, OLDER])
    while form.chosen("target").value != target:
        form.change("target", 1)
    return form


def test_the_defaults_are_those_of_the_command() -> None:
    form = ExportForm([BOTH])
    assert form.request(" ") == ExportRequest(target="hf", checkpoint="best", dtype="float32")


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_offers_its_weights_and_every_request_is_valid(target: str) -> None:
    form, info = form_for(target), TARGETS[target]  # type: ignore[index]
    offered = []
    for _ in form.options("weights"):
        request = form.request("")
        request.check()
        offered.append(request.weights)
        form.change("weights", 1)
    assert tuple(offered) == (*info.dtypes, *info.quantizations)
    assert form.applies("custom_code") == info.custom_code


def test_weights_that_the_next_target_lacks_become_its_default() -> None:
    form = form_for("gguf")
    form.change("weights", -1)
    assert form.request("").quantize == "q2_k"
    form.change("target", -1)
    assert form.request("").weights == "float32"


def test_custom_code_is_left_out_for_a_target_without_it() -> None:
    form = form_for("hf")
    form.change("custom_code", 1)
    assert form.request("").custom_code
    form.change("target", 1)
    assert not form.request("").custom_code


def test_a_checkpoint_says_its_step_and_loss() -> None:
    form = ExportForm([BOTH, OLDER])
    assert form.chosen("checkpoint").about == "best, last · step 40 · val loss 1.5000"
    form.change("checkpoint", 1)
    assert form.request("").checkpoint == "ckpt_last_00000020.pt"


def test_the_folder_may_begin_at_home_and_switches_change_the_request() -> None:
    form = form_for("onnx")
    form.change("verify", 1)
    form.change("force", 1)
    request = form.request(" ~/models ")
    assert (request.out, request.verify, request.force) == (Path.home() / "models", False, True)


def test_an_unknown_home_is_refused() -> None:
    with pytest.raises(UsageError, match="no such user"):
        ExportForm([BOTH]).request("~nobody-of-this-name/models")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "replace it with --force, or use --out.",
            "replace it with 'replace: yes', or use 'folder'.",
        ),
        ("Use --to hf with --custom-code.", "Use 'target: hf' with 'custom code: yes'."),
        (
            "--quantize q4_k_m needs it; --dtype float32 not.",
            "'weights: q4_k_m' needs it; 'weights: float32' not.",
        ),
        ("--no-verify keeps it.", "'verify: no' keeps it."),
        ("The folder --outside is there.", "The folder --outside is there."),
    ],
)
def test_messages_name_the_fields_of_the_form(message: str, shown: str) -> None:
    assert in_terms_of_the_form(message) == shown
