"""Relative paths in a configuration: relative to the file that states them."""

import os
from pathlib import Path
from typing import Any

from transformer_playground.config.fields import ANY_NAME, Key, schema_index
from transformer_playground.config.finetuning import is_model_path
from transformer_playground.config.layers import DEFAULT_ORIGIN, Merged, Problem
from transformer_playground.config.sample import PROMPT_FILE
from transformer_playground.config.toml_text import shortened, toml_string

_PROMPT = ("sample", "sample", "start")
_MODEL = ("hf_model", "model_name")


def resolve_paths(merged: Merged, *, home: Path, project: Path) -> list[Problem]:
    """Make every path in `merged` absolute, the schema's defaults included.

    A stated path is relative to the folder of the layer that states it, a default to `home`. A
    relative path, links followed, must stay inside the project or, stated in a file elsewhere,
    inside that file's folder. `~` is the user's home folder and makes a path absolute. The same
    holds for the path in a prompt that is read from a file, and for a pretrained model's folder.

    Args:
        merged: Changed in place.
        home: The experiment's folder.
        project: The folder that holds the experiments folder.

    Returns:
        One problem for each path that cannot be used; it is taken out of `merged`.
    """
    problems: list[Problem] = []
    for entry in schema_index().values():
        if not (entry.is_path or entry.key in (_PROMPT, _MODEL)) or ANY_NAME in entry.key:
            continue
        *parents, name = entry.key
        table: dict[str, Any] = merged.values
        for parent in parents:
            table = table.setdefault(parent, {})
        stated = name in table
        origin = merged.origin(entry.key) if stated else None
        where, folder = (origin.name, origin.folder) if origin else (DEFAULT_ORIGIN, home)
        text = table[name] if stated else entry.default
        if not isinstance(text, str | Path):
            continue
        text = str(text)
        if not _names_path(entry.key, text):
            continue
        prefix = PROMPT_FILE if entry.key == _PROMPT else ""
        try:
            table[name] = f"{prefix}{_absolute(text.removeprefix(prefix), folder, project)}"
        except ValueError as error:
            table.pop(name, None)
            shown = shortened(toml_string(text))
            problems.append(Problem(where, f"{entry.name} = {shown} {error}"))
    return problems


def _names_path(key: Key, text: str) -> bool:
    if key == _PROMPT:
        return text.startswith(PROMPT_FILE)
    return key != _MODEL or is_model_path(text)


def _absolute(text: str, folder: Path, project: Path) -> Path:
    if not text or "\0" in text:
        raise ValueError("is not a path.")
    try:
        stated = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("names a home folder that is not known.") from error
    target = Path(os.path.realpath(folder / stated))
    if stated.is_absolute():
        return target
    roots = [Path(os.path.realpath(root)) for root in (project, folder)]
    if not any(target.is_relative_to(root) for root in roots):
        raise ValueError(
            f"leads out of the project ({roots[0]}); "
            "write an absolute path if it is meant to be elsewhere."
        )
    return target
