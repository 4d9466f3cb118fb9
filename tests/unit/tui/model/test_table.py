"""Cells, marks and texts of the Model view."""

import math
from typing import Any

import pytest
import torch
from rich.cells import cell_len

from builders.models import lively_model, tokens_of
from transformer_playground.formatting import percent_text
from transformer_playground.inspection.module_view import model_view
from transformer_playground.inspection.weights import weight_histogram
from transformer_playground.tui.model.details_state import facts, histogram_lines, module_lines
from transformer_playground.tui.model.export import model_markdown
from transformer_playground.tui.model.reading import Ask, FoundStep, Reading, Shown, Subject
from transformer_playground.tui.model.table_state import TableState, dead_shares, sizes_by_module


def reading(name: str, *results: dict[str, Any]) -> Reading:
    steps = tuple(FoundStep(f"{step}.pt", step) for step in range(len(results)))
    return Reading(
        Subject(name),
        results[-1],
        found=steps,
        chosen=steps[-1].checkpoint,
        measured={
            each.checkpoint: {
                "checkpoint": each.checkpoint,
                "step": each.step,
                "val_loss": None,
                "result": result,
            }
            for each, result in zip(steps, results, strict=True)
        },
    )


def state_of(*results: dict[str, Any], other: Reading | None = None) -> TableState:
    main = reading("one", *results)
    return TableState(Shown(Ask(main.subject), main, other))


def test_the_size_of_a_module_is_that_of_all_its_weights() -> None:
    model: Any = lively_model(bias=True)
    earlier = {name: each.detach().clone() for name, each in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.blocks[0].mlp.parameters():
            parameter.mul_(1.5)
    view = model_view(model, tokens_of(0, 2, 8), earlier)
    sizes = sizes_by_module(view["weights"], {"blocks.0.mlp.up.weight": 0.5})
    weights = torch.cat([each.flatten() for each in model.blocks[0].mlp.parameters()])
    assert sizes["blocks.0.mlp"].weight == pytest.approx(weights.square().mean().sqrt().item())
    # Half of what it was is a third of what it is.
    assert sizes["blocks.0.mlp"].update == pytest.approx(1 / 3)
    assert sizes["blocks.1"].update == 0
    up = model.blocks[0].mlp.up.weight.square().mean().sqrt().item()
    assert sizes["blocks.0.mlp"].apart == pytest.approx(0.5 / up)
    assert sizes[""].gradient == pytest.approx(
        math.sqrt(
            sum(each["gradient_rms"] ** 2 * math.prod(each["shape"]) for each in view["weights"])
            / view["parameters"]
        )
    )


def test_what_stands_out_is_marked_with_words_at_the_module_and_where_it_is_folded() -> None:
    model: Any = lively_model(activation="relu", n_layer=3)
    earlier = {name: each.detach() * 0.99 for name, each in model.named_parameters()}
    earlier["blocks.1.mlp.down.weight"] = earlier["blocks.1.mlp.down.weight"] * 0.5
    with torch.no_grad():
        model.blocks[2].mlp.up.weight[:20] = 0
        model.blocks[0].attention.output.weight.zero_()
    view = model_view(model, tokens_of(0, 2, 8), earlier)
    state = state_of(view)
    assert state.marks["blocks.1.mlp.down"] == "update high"
    # Without an output, what comes before it gets no gradient.
    assert state.marks["blocks.0.attention.qkv"] == "gradient 0"
    share = dead_shares(view)["blocks.2.mlp"]
    assert share >= 20 / 64
    assert state.marks["blocks.2.mlp"] == f"dead {percent_text(share)}"
    assert "token_embedding" not in state.marks
    folded = state.tree["blocks.1"]
    inside = sum(name.startswith("blocks.1.") for name in state.marks)
    assert state.text(folded, "mark", is_folded=True) == f"! {inside} inside"
    assert state.text(folded, "mark") == ""
    model.blocks[1].mlp.up.weight.data[0, 0] = float("nan")
    broken = state_of(model_view(model, None, None))
    assert broken.marks["blocks.1.mlp.up"] == "not finite"


@pytest.mark.parametrize("is_pair", [False, True])
def test_columns_fit_into_any_width_and_marks_and_differences_stay(*, is_pair: bool) -> None:
    view = model_view(lively_model(), tokens_of(0, 2, 8), None)
    wider = model_view(lively_model(n_embd=32), None, None)
    state = state_of(view, view, other=reading("two", wider) if is_pair else None)
    for width in range(50, 200, 7):
        columns = state.columns(state.tree.rows, width, 1, 40)
        assert sum(cells + 1 for _, cells in columns) <= width - 16
        keys = {spec.key for spec, _ in columns}
        assert not is_pair or "difference" in keys
        for row in state.tree.rows:
            assert all(cell_len(state.text(row, spec.key)) <= cells for spec, cells in columns)
    keys = {spec.key for spec, _ in state.columns(state.tree.rows, 200, 1, 40)}
    assert {"weight", "gradient", "shape", "params"} <= keys


def test_the_curve_of_a_module_goes_over_the_checkpoints() -> None:
    models = [lively_model(seed=seed) for seed in range(3)]
    views = []
    earlier = None
    for model in models:
        views.append(model_view(model, None, earlier))
        earlier = dict(model.named_parameters())
    state = state_of(*views)
    assert state.values("blocks.0")[0] is None
    assert len(state.text(state.tree["blocks.0"], "curve")) == 2
    # From zero: sizes that are nearly the same are drawn as the same.
    (block,) = {*TableState(state.shown, "weight").text(state.tree["blocks.0"], "curve")}
    assert block in "▇█"
    texts = ["".join(part for part, _ in line) for line in facts(state.shown, "f6")]
    assert "upd/weight: change over 1 step, since step 1" in texts
    lines = module_lines(state, state.tree["blocks.0.mlp.up"], 40)
    text = "\n".join("".join(part for part, _ in line) for line in lines)
    assert "update / weight by step" in text
    assert "64 × 16" in text


def test_facts_name_size_costs_text_and_what_is_missing() -> None:
    view = model_view(lively_model(), tokens_of(0, 2, 8), None)
    shown = state_of(view).shown
    texts = ["".join(part for part, _ in line) for line in facts(shown, "f6")]
    assert f"{view['parameters']:,} parameters" in texts[0]
    assert "2 windows of the validation split" in texts[1]
    lost = Reading(Subject("x"), problem="gone\x1b[2J", notices=("a", "a"), is_waiting=True)
    texts = [
        "".join(part for part, _ in line) for line in facts(Shown(Ask(lost.subject), lost), "f6")
    ]
    assert texts == [
        "A large model: f6 measures its weights, gradients and silent neurons.",
        "! a",
        "! gone␛[2J",
    ]


@pytest.mark.parametrize("width", [1, 7, 20, 80])
def test_a_histogram_fits_and_its_columns_are_as_high_as_their_counts(width: int) -> None:
    found = weight_histogram(torch.tensor([-1.0, *[0.5] * 8, *[1.0] * 4]), 4)
    lines = ["".join(part for part, _ in line) for line in histogram_lines(found, width)]
    assert lines[0] == "13 weights"
    assert max(len(line) for line in lines[1:5]) <= min(width, 4)
    assert "█" in lines[1]
    alike = histogram_lines(weight_histogram(torch.zeros(3)), 20)
    assert "3 (100%)" in "".join(part for line in alike for part, _ in line)


def test_markdown_has_every_module_and_survives_hostile_names() -> None:
    view = model_view(lively_model(), None, None)
    view["modules"][1]["about"] = "a | b\n\x1b[2J"
    text = model_markdown(state_of(view), "one | two")
    assert sum(line.startswith("|") for line in text.splitlines()) == len(view["modules"]) - 1 + 2
    assert "\x1b" not in text
    assert "a \\| b" in text


def test_what_is_the_same_in_both_models_makes_room_for_what_differs() -> None:
    view = model_view(lively_model(), tokens_of(0, 2, 8), None)
    apart = {each["name"]: 0.5 for each in view["weights"]}
    main, other = reading("one", view), reading("two", view)
    state = TableState(Shown(Ask(main.subject), main, other, apart=apart))
    keys = {spec.key for spec, _ in state.columns(state.tree.rows, 76, 1, 40)}
    assert {"shape", "params", "apart", "difference"} <= keys
    assert not keys & {"their_shape", "their_params"}
    wider = reading("two", model_view(lively_model(n_embd=32), None, None))
    differing = TableState(Shown(Ask(main.subject), main, wider))
    keys = {spec.key for spec, _ in differing.columns(differing.tree.rows, 120, 1, 40)}
    assert {"shape", "their_shape", "params", "their_params"} <= keys
