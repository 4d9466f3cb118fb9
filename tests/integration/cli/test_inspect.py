"""`tp inspect`: what each view prints, writes and refuses."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from builders.commands import CONTROL, Ended, Project, Tp
from builders.schemas import check
from builders.training import train as train_tiny
from transformer_playground.errors import CheckpointError, UsageError
from transformer_playground.inspection.glyphs import WIDTH
from transformer_playground.inspection.request import InspectRequest, resolve_inspection
from transformer_playground.inspection.views import inspect_run

VIEWS: dict[str, tuple[str, ...]] = {
    "text": (),
    "lens": ("--lens",),
    "attribution": ("--attribution", "--position", "3"),
    "attention": ("--attention",),
    "heads": ("--heads",),
    "ablate": ("--ablate", "all"),
    "patch": ("--prompt", "0 bottle", "--patch", "m falls."),
    "neurons": ("--neurons", "1", "--windows", "4"),
    "neighbours": ("--neighbours", "b"),
    "model": ("--model", "--split", "train"),
}
PICTURES = [view for view in VIEWS if view not in ("neurons", "neighbours", "model")]


def document(ended: Ended) -> Any:
    assert ended.code == 0, ended.err
    (printed,) = ended.lines
    check("inspect", printed)
    return printed


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_over_training_fits_80_columns_and_its_json_has_its_form(
    trained: Project, tp: Tp, view: str
) -> None:
    words = ("inspect", "first", *VIEWS[view], "--checkpoint", "all")
    printed = tp(*words)
    assert printed.code == 0, printed.err
    assert "first · " in printed.out
    assert max(map(len, printed.out.splitlines())) <= WIDTH
    made = document(tp(*words, "--json"))
    assert made["view"] == view
    steps = [each["step"] for each in made["checkpoints"]]
    assert steps == sorted(set(steps))
    assert len(steps) > 1


@pytest.mark.parametrize("view", PICTURES)
def test_a_grid_is_drawn_as_a_picture(trained: Project, tp: Tp, view: str) -> None:
    file = trained.root / "look.svg"
    ended = tp("inspect", "first", *VIEWS[view], "--svg", "--out", file)
    assert ended.code == 0, ended.err
    assert ended.out == ""
    root = ET.fromstring(file.read_text(encoding="utf-8"))
    assert root.tag.endswith("svg")
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) > 3


def test_the_loss_of_a_window_is_the_mean_of_its_surprisals(trained: Project, tp: Tp) -> None:
    made = document(tp("inspect", "first", "--split", "val", "--window", 1, "--json"))
    result = made["checkpoints"][0]["result"]
    assert (made["text"]["source"], made["text"]["window"]) == ("val", 1)
    assert len(made["text"]["tokens"]) == len(result["surprisals"]) == 16
    assert result["loss"] == pytest.approx(sum(result["surprisals"][1:]) / 15)


def test_updates_are_those_between_the_checkpoints(trained: Project, tp: Tp) -> None:
    made = document(tp("inspect", "first", "--model", "--checkpoint", "all", "--json"))
    first, *later = (each["result"]["weights"] for each in made["checkpoints"])
    assert {each["update_rms"] for each in first} == {None}
    assert all(each["update_rms"] > 0 for each in later[0])


@pytest.mark.parametrize("words", [(), ("--lens",), ("--attribution",), ("--attention",)])
def test_a_prompt_of_one_token_is_looked_at(
    trained: Project, tp: Tp, words: tuple[str, ...]
) -> None:
    for more in ((), ("--svg",)):
        ended = tp("inspect", "first", "--prompt", "4", *words, *more)
        assert ended.code == 0, ended.err


def test_of_a_text_beyond_the_context_the_end_is_looked_at(trained: Project, tp: Tp) -> None:
    ended = tp("inspect", "first", "--prompt", "bottles " * 9)
    assert ended.code == 0
    assert "72 tokens and the context 16" in ended.err
    assert "16 tokens" in ended.out


def test_the_prompt_that_the_run_samples_from_need_not_be_readable(
    trained: Project, tp: Tp
) -> None:
    record = trained.run_named("first").config_path
    config = json.loads(record.read_text())
    config["config"]["sample"]["sample"]["start"] = "FILE:gone.txt"
    record.write_text(json.dumps(config))
    for words in ((), ("--prompt", "40 bottles"), ("--heads",)):
        ended = tp("inspect", "first", *words)
        assert ended.code == 0, ended.err


CONTROLS = "a\x1b[31m\x9b\u202e\u2028\tb\r\x00"


def test_control_characters_are_shown_not_sent(tmp_path: Path, tp: Tp, project: Project) -> None:
    project.raw.write_bytes((f"{CONTROLS}\n" * 60).encode())
    steps = ("--set", "train.runtime.max_iters=2", "--run-id", "first")
    assert tp("loop", "tiny", *steps, "--set", "sample.sample.start=a").code == 0
    views = [
        VIEWS[view] for view in ("text", "lens", "attribution", "attention", "neurons", "ablate")
    ]
    prompts = ("--prompt", "a\x1b\u202e", "--patch", "\x1b\u202ea")
    for words in (*views, prompts, ("--neighbours", "\x1b")):
        ended = tp("inspect", "first", *words)
        assert ended.code == 0, ended.err
        assert not CONTROL.search(ended.out)
    ended = tp("inspect", "first", "--lens", "--svg")
    assert not CONTROL.search(ended.out)
    ET.fromstring(ended.out)


@pytest.mark.parametrize(
    "model",
    [
        {"attention_window": 3, "positional_encoding": "alibi", "n_head": 4, "n_kv_head": 2},
        {"norm_position": "post", "qk_norm": True, "logit_softcap": 5.0},
        {"mlp_enabled": False, "parallel_residual": True, "positional_encoding": "rope"},
    ],
    ids=["windowed alibi", "post norm", "without MLPs"],
)
def test_every_view_works_for_models_of_another_kind(tmp_path: Path, model: dict[str, Any]) -> None:
    result = train_tiny(tmp_path, {"model": model}, {"train": {"runtime": {"max_iters": 3}}})
    run = result.run
    requests = [
        InspectRequest(),
        InspectRequest("lens"),
        InspectRequest("attribution"),
        InspectRequest("attention"),
        InspectRequest("heads"),
        InspectRequest("ablate", parts=("all", "0"), mean=True),
        InspectRequest("patch", prompt="40 b", other="31 b", patch="attention"),
        InspectRequest("neighbours", token="b"),
        InspectRequest("model", split="val"),
        # One token each, and more than the context.
        InspectRequest("patch", prompt="4", other="b"),
        InspectRequest("lens", prompt="bottles " * 9),
        InspectRequest("attention", prompt="bottles " * 9),
    ]
    neurons = [InspectRequest("neurons", prompt=text) for text in ("4", "bottles " * 9)]
    if model.get("mlp_enabled", True):
        requests += neurons
    else:
        for request in neurons:
            with pytest.raises(UsageError, match="MLP"):
                inspect_run(resolve_inspection(run, request))
    for request in requests:
        check("inspect", inspect_run(resolve_inspection(run, request)))


def test_a_checkpoint_that_vanishes_meanwhile_is_named_or_left_out(trained: Project) -> None:
    run = trained.run_named("first")
    one = resolve_inspection(run, InspectRequest(checkpoints=("last",)))
    several = resolve_inspection(run, InspectRequest(checkpoints=("all",)))
    last = several.found[-1].path
    notices: list[str] = []
    for path in (one.found[0].path, last):
        path.unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="the file is missing"):
        inspect_run(one)
    made = inspect_run(several, progress=notices.append)
    assert len(made["checkpoints"]) == len(several.found) - 1
    assert "the file is missing" in notices[0]
    for found in several.found:
        found.path.unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="can be loaded any more"):
        inspect_run(several)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--lens", "--heads"), 2, "--lens and --heads are different views"),
        (("--json", "--svg"), 2, "mutually exclusive"),
        (("--prompt", "4", "--split", "val"), 2, "mutually exclusive"),
        (("--lens", "--position", "16"), 2, "There is no position 16"),
        (("--window", "999"), 2, "There is no window 999"),
        (("--ablate", "7.1"), 2, "There is no layer 7"),
        (("--ablate", "x"), 2, "'x' is not a part"),
        (("--ablate", "0.0", "--prompt", "4"), 1, "no loss to compare"),
        (("--patch", "4"), 2, "needs two prompts"),
        (("--prompt", "41", "--patch", "4"), 2, "2 and 1 tokens"),
        (("--prompt", "Ä"), 1, "cannot be encoded"),
        (("--neurons", "0.x"), 2, "neither a layer nor a neuron"),
        (("--neurons", "3"), 2, "There is no layer 3"),
        (("--neighbours", "bottle"), 2, "6 tokens"),
        (("--neurons", "0", "--svg"), 2, "has no picture"),
        (("--checkpoint", "none.pt"), 1, "There is no checkpoint 'none.pt'"),
        (("--out", "no/such/folder.txt"), 2, "folder that does not exist"),
        (("--dataset", "nowhere"), 1, "nowhere"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_a_sentence(
    trained: Project, tp: Tp, words: tuple[str, ...], code: int, message: str
) -> None:
    ended = tp("inspect", "first", *words)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--mean",), "--mean has no effect without --ablate."),
        (("--lens", "--patch-kind", "residual"), "--patch-kind has no effect without --patch."),
        (("--windows", "64"), "--windows has no effect without --neurons."),
        (
            ("--ablate", "all", "--position", "-1"),
            "--position has no effect without --lens, --attribution or --attention.",
        ),
        (("--heads", "--prompt", "40 b"), "--prompt has no effect with --heads."),
        (("--heads", "--split", "val"), "--split has no effect with --heads."),
        (("--neighbours", "b", "--window", "0"), "--window has no effect with --neighbours."),
        (("--prompt", "4", "--patch", "b", "--split", "val"), "--split has no effect with --patch"),
        (("--prompt", "40 b", "--window", "1"), "--window has no effect with --prompt."),
        (
            ("--neurons", "0", "--prompt", "40 b", "--windows", "2"),
            "--windows has no effect with --prompt.",
        ),
        (
            ("--model", "--window", "1"),
            "--window has no effect with --model unless --split is given.",
        ),
    ],
)
def test_an_option_that_the_view_does_not_read_is_refused(
    trained: Project, tp: Tp, words: tuple[str, ...], complaint: str
) -> None:
    ended = tp("inspect", "first", *words)
    assert (ended.code, ended.out) == (2, "")
    assert complaint in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("--ablate", "0.0", "--mean", "--window", "1"),
        ("--prompt", "40 b", "--patch", "31 b", "--patch-kind", "mlp"),
        ("--neurons", "0", "--split", "train", "--window", "1", "--windows", "2"),
        ("--attention", "--prompt", "40 b", "--position", "1"),
        ("--model", "--split", "val", "--window", "1"),
    ],
)
def test_options_that_the_view_reads_are_taken(
    trained: Project, tp: Tp, words: tuple[str, ...]
) -> None:
    ended = tp("inspect", "first", *words)
    assert ended.code == 0, ended.err


def test_parts_are_switched_off_one_by_one_or_together(trained: Project, tp: Tp) -> None:
    words = ("inspect", "first", "--ablate", "0.1", "--ablate", "1.mlp", "--ablate", "0.1")
    single = document(tp(*words, "--json"))["checkpoints"][0]["result"]["parts"]
    both = document(tp(*words, "--together", "--json"))["checkpoints"][0]["result"]["parts"]
    assert [each["part"] for each in single] == ["0.1", "1.mlp"]
    assert [each["part"] for each in both] == ["0.1 + 1.mlp"]
    assert both[0]["loss"] not in [each["loss"] for each in single]
    assert "head 0.1 + mlp 1" in tp(*words, "--together").out
