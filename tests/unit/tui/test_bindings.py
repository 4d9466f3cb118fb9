import importlib.util
import re
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from transformer_playground.tui.bindings import KEYS, check_keymap, key_hint, split_keys


def test_no_two_bindings_of_one_place_share_a_key() -> None:
    stated = [(key.place, pressed) for key in KEYS for pressed in split_keys(key.keys)]
    assert len(stated) == len(set(stated))


def test_every_binding_has_a_unique_id_and_a_full_sentence_of_help() -> None:
    ids = [key.id for key in KEYS]
    assert len(ids) == len(set(ids))
    for key in KEYS:
        assert re.fullmatch(r"[A-Z].*[.…]", key.help), key.id
        assert len(key.label.split()) <= 2, key.id


def test_valid_keys_are_used_and_characters_may_be_typed_directly() -> None:
    keymap, problems = check_keymap({"runs.filter": "f", "everywhere.help": "%, f1"})
    assert problems == []
    assert keymap == {"runs.filter": "f", "everywhere.help": "percent_sign,f1"}


def test_conflicts_unknown_bindings_and_invalid_keys_are_reported_and_left_out() -> None:
    keymap, problems = check_keymap(
        {"runs.filter": "o", "runs.nothing": "f", "runs.pin": "\x1b]0;x\x07", "runs.mark": " , "}
    )
    assert keymap == {}
    assert len(problems) == 4
    assert "runs.sort" in "\n".join(problems)
    assert "runs.nothing" in problems[0]


def test_a_key_of_the_whole_console_cannot_be_used_by_a_view() -> None:
    keymap, problems = check_keymap({"runs.pin": "q"})
    assert keymap == {}
    assert "everywhere.quit" in problems[0]


def test_two_keys_may_be_swapped() -> None:
    keymap, problems = check_keymap({"runs.pin": "o", "runs.sort": "p"})
    assert problems == []
    assert keymap == {"runs.pin": "o", "runs.sort": "p"}


def test_a_hint_shows_the_first_key_and_follows_the_keymap() -> None:
    assert key_hint("runs.out", {}) == "esc"
    assert key_hint("everywhere.quit", {}) == "q"
    keymap, _ = check_keymap({"runs.out": "f8,x"})
    assert keymap == {}, "x exports in the same view"
    keymap, _ = check_keymap({"runs.out": "f8,f9"})
    assert key_hint("runs.out", keymap) == "f8"


def test_a_key_that_is_free_only_thanks_to_an_invalid_entry_is_left_out_too() -> None:
    # 0 shows a whole chart, so the live view keeps its 2.
    keymap, problems = check_keymap({"everywhere.runs": "2", "everywhere.live": "0"})
    assert keymap == {}
    assert [problem.partition(":")[0] for problem in problems] == [
        "everywhere.live",
        "everywhere.runs",
    ]


@example({"everywhere.runs": "2", "everywhere.live": "0"})
@example({"runs.sort": "p", "runs.pin": "o", "everywhere.new": "o", "runs.mark": "n"})
@given(st.dictionaries(st.sampled_from([key.id for key in KEYS]) | st.text(), st.text()))
def test_no_keymap_crashes_and_used_entries_have_no_conflicts(stated: dict[str, str]) -> None:
    keymap, problems = check_keymap(stated)
    assert len(keymap) + len(problems) == len(stated)
    for name in keymap:
        assert check_keymap(keymap)[0][name]


def test_the_manual_lists_the_current_keys() -> None:
    folder = Path(__file__).parents[3] / "docs"
    spec = importlib.util.spec_from_file_location("keys_table", folder / "keys_table.py")
    assert spec is not None
    assert spec.loader is not None
    keys_table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keys_table)
    document = (folder / "console.md").read_text(encoding="utf-8")
    assert keys_table.with_keys(document) == document, "run: python docs/keys_table.py"


# Words for one meaning, and keys with two meanings.
_SAME = {
    "write": "export",
    "section": "shown",
    "pane": "shown",
    "all": "shown",
    "dismiss": "delete",
    "dismiss_all": "unmark",
}
_CUSTOMARY = {"g": {"first", "group"}}


def test_a_letter_means_the_same_in_every_view() -> None:
    meanings: dict[str, set[str]] = {}
    for key in KEYS:
        for pressed in split_keys(key.keys):
            if len(pressed) == 1:
                meanings.setdefault(pressed, set()).add(_SAME.get(key.name, key.name))
    several = {pressed: names for pressed, names in meanings.items() if len(names) > 1}
    assert several == _CUSTOMARY
