"""The tree of modules as rows, of one model and of two."""

from typing import Any

import pytest
from hypothesis import given, settings

from builders.models import architectures, lively_model
from transformer_playground.config.model import ModelConfig
from transformer_playground.inspection.module_view import structure_view
from transformer_playground.tui.model.tree_state import Folds, Tree, differing_settings


def modules(config: ModelConfig | None = None, **changes: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = structure_view(lively_model(config=config, **changes))["modules"]
    return found


def module(name: str, kind: str = "Block", about: str = "", **shapes: list[int]) -> dict[str, Any]:
    return {"name": name, "kind": kind, "about": about, "shapes": shapes, "neurons": None}


@settings(max_examples=10, deadline=None)
@given(config=architectures())
def test_every_module_with_weights_has_a_row_below_its_parent(config: ModelConfig) -> None:
    found = modules(config)
    tree = Tree.of(found)
    assert {each["name"] for each in found if each["shapes"]} <= {row.name for row in tree.rows}
    seen: set[str] = set()
    for row in tree.rows:
        assert row.parent is None if not row.name else row.parent in seen
        seen.add(row.name)
    assert not any(tree.difference(row) for row in tree.rows)


def test_containers_are_named_with_what_is_in_them() -> None:
    found = [
        module("", "Adapter"),
        module("a"),
        module("a.b"),
        module("a.b.c", about="kept"),
        module("a.b.c.layers", "ModuleList"),
        module("a.b.c.layers.0", w=[2]),
        module("a.b.c.layers.1", w=[2]),
    ]
    labels = [(row.depth, row.label) for row in Tree.of(found).rows]
    assert labels == [(0, "model"), (1, "a.b.c"), (2, "layers.0"), (2, "layers.1")]


def test_later_layers_are_folded_until_the_user_says_otherwise() -> None:
    tree, folds = Tree.of(modules()), Folds()

    def names() -> set[str]:
        return {row.name for row in folds.visible(tree)}

    assert {"blocks.0.mlp.up", "blocks.1"} <= names()
    assert "blocks.1.mlp" not in names()
    folds.set(tree["blocks.1"], folded=False)
    folds.set(tree["blocks.0"], folded=True)
    assert "blocks.1.mlp.up" in names()
    assert "blocks.0.mlp" not in names()
    folds.set_all(folded=True)
    assert names() == {row.name for row in tree.rows if row.depth < 2}
    folds.set_all(folded=False)
    assert names() == {row.name for row in tree.rows}
    # A module without others in it has nothing to fold.
    folds.set(tree["final_norm"], folded=True)
    assert not folds.is_folded(tree["final_norm"])


def test_two_models_are_one_tree_in_which_what_differs_is_named() -> None:
    ours = modules(positional_encoding="rope", bias=True)
    theirs = modules(n_layer=3, activation="swiglu", positional_encoding="learned", bias=True)
    tree = Tree.of(ours, theirs)
    assert tree.difference(tree["positions"]) == "only there"
    assert tree.difference(tree["blocks.0.mlp.gate"]) == "only there"
    assert tree.difference(tree["blocks.0.attention"]) == "other settings"
    assert tree.difference(tree["blocks.0.attention.qkv"]) == ""
    assert tree.difference(tree["blocks.2"]) == "only there"
    names = [row.name for row in tree.rows]
    # Beside their neighbours, not at the end.
    assert names.index("positions") == names.index("token_embedding") + 1
    assert names.index("blocks.1") < names.index("blocks.2") < names.index("final_norm")
    inside = tree.differences_inside
    assert inside["blocks.0.mlp"] >= 1
    assert inside[""] > inside["blocks.0"]
    turned = Tree.of(theirs, ours)
    assert turned.difference(turned["positions"]) == "only here"
    wider = Tree.of(ours, modules(positional_encoding="rope", n_embd=32, bias=True))
    assert wider.difference(wider["blocks.0.attention.qkv"]) == "other shape"


def test_no_modules_are_no_rows() -> None:
    assert Tree.of([]).rows == ()
    assert Folds().visible(Tree()) == []


@pytest.mark.parametrize("theirs", [{"a": 2, "c": None}, {"a": 2}])
def test_settings_that_differ_are_listed_with_both_values(theirs: dict[str, Any]) -> None:
    assert differing_settings({"a": 1, "b": 2}, theirs) == [("a", 1, 2), ("b", 2, None)]
