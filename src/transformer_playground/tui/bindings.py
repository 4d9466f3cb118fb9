"""All key bindings, as the views, the help screen and the settings file use them."""

import re
from collections.abc import Iterator, Mapping

from textual.binding import Binding, BindingType
from textual.keys import _character_to_key

from transformer_playground.tui.keys.key import PLACES, Key, Place
from transformer_playground.tui.keys.launch_keys import LAUNCH_KEYS
from transformer_playground.tui.keys.model_keys import MODEL_KEYS
from transformer_playground.tui.keys.runs_keys import RUNS_KEYS

KEYS: tuple[Key, ...] = (*RUNS_KEYS, *MODEL_KEYS, *LAUNCH_KEYS)

_VALID_NAME = re.compile(r"[a-zA-Z0-9_+]{1,60}")


def bindings_for(place: Place, only: str | None = None) -> list[BindingType]:
    """Textual bindings of a place, or only the one with this id, for `BINDINGS` of a widget."""
    return [
        Binding(key.keys, key.action, key.label, show=key.footer, tooltip=key.help, id=key.id)
        for key in KEYS
        if key.place == place and only in (None, key.id)
    ]


def check_keymap(wanted: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The valid part of a user's keymap, and one message for each invalid entry.

    An entry is invalid if it names no binding, no key, or a key that another binding has.
    """
    known = {key.id: key for key in KEYS}
    problems = [f"There is no key binding {name}." for name in sorted(wanted.keys() - known.keys())]
    keymap: dict[str, str] = {}
    for name in (name for name in wanted if name in known):
        pressed = split_keys(wanted[name])
        if not pressed or not all(map(_VALID_NAME.fullmatch, pressed)):
            problems.append(f"{name}: '{wanted[name]}' is not a key.")
        else:
            keymap[name] = ",".join(pressed)
    while conflict := _first_conflict(keymap):
        name, other = conflict
        # Without its entry a binding has its default key again, which may be another entry's.
        problems.append(f"{name}: {other} already has the key {keymap.pop(name)}.")
    return keymap, problems


def split_keys(keys: str) -> list[str]:
    """Textual names of keys that are separated by commas; a single character names its key."""
    names = (key.strip() for key in keys.split(","))
    return [_character_to_key(name) if len(name) == 1 else name for name in names if name]


def _first_conflict(keymap: Mapping[str, str]) -> tuple[str, str] | None:
    for name in keymap:
        other = _conflict(name, keymap)
        if other is not None:
            return name, other
    return None


def _conflict(name: str, keymap: Mapping[str, str]) -> str | None:
    changed = next(key for key in KEYS if key.id == name)
    pressed = set(split_keys(keymap[name]))
    # Two bindings conflict in the same place, or if one of them works everywhere.
    for key in KEYS:
        is_active_together = key.place == changed.place or "everywhere" in {
            key.place,
            changed.place,
        }
        if key is changed or not is_active_together:
            continue
        if pressed & set(split_keys(keymap.get(key.id, key.keys))):
            return key.id
    return None


def by_place(first: str | None = None) -> Iterator[tuple[str, list[Key]]]:
    """Title and keys of each place; the place `first` comes first."""
    for place, title in sorted(PLACES.items(), key=lambda item: item[0] != first):
        keys = [key for key in KEYS if key.place == place]
        if keys:
            yield title, keys


_SYMBOLS = {
    "full_stop": ".",
    "comma": ",",
    "asterisk": "*",
    "exclamation_mark": "!",
    "question_mark": "?",
    "number_sign": "#",
    "slash": "/",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "escape": "esc",
}


def key_hint(binding_id: str, keymap: Mapping[str, str]) -> str:
    """The first key of a binding as a hint shows it, such as "esc" for `runs.out`.

    Args:
        keymap: The user's keys as `check_keymap` returns them (`AppContext.keymap`).
    """
    key = next(key for key in KEYS if key.id == binding_id)
    return keys_text(split_keys(keymap.get(binding_id, key.keys))[0])


def keys_text(keys: str) -> str:
    """Keys as hints and documents write them, separated by spaces."""
    return " ".join(
        "+".join(_SYMBOLS.get(part, part) for part in name.split("+")) for name in split_keys(keys)
    )
