"""State of the export form: its fields and what can be chosen in each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from transformer_playground.errors import UsageError
from transformer_playground.export.request import TARGETS, ExportRequest, TargetInfo, TargetName
from transformer_playground.formatting import loss_text
from transformer_playground.tui.core.checkpoints import Choice

FieldName = Literal["target", "checkpoint", "weights", "verify", "force", "custom_code"]
FIELD_NAMES: tuple[FieldName, ...] = get_args(FieldName)


@dataclass(frozen=True)
class Option:
    """One value of a field and what it means; untrusted text."""

    value: str
    about: str = ""


_LABELS: dict[FieldName, str] = {
    "target": "target",
    "checkpoint": "checkpoint",
    "weights": "weights",
    "verify": "verify",
    "force": "replace",
    "custom_code": "custom code",
}
_SWITCHES: dict[FieldName, tuple[Option, ...]] = {
    "verify": (
        Option("yes", "open the export again and compare it with the run"),
        Option("no", "do not compare it; the export records this"),
    ),
    "force": (
        Option("no", "keep an earlier export in the folder"),
        Option("yes", "replace an earlier export in the folder"),
    ),
    "custom_code": (
        Option("no", "a class of transformers"),
        Option("yes", "ship a modeling file, loaded with trust_remote_code"),
    ),
}
# How messages of `tp export` name what the form has.
_CHOICES = {"to": _LABELS["target"], "dtype": _LABELS["weights"], "quantize": _LABELS["weights"]}
_OTHERS = {
    "out": "folder",
    "force": f"{_LABELS['force']}: yes",
    "no-verify": f"{_LABELS['verify']}: no",
    "custom-code": f"{_LABELS['custom_code']}: yes",
}
_CHOICE = re.compile(rf"--({'|'.join(_CHOICES)}) (\w+)")
_OTHER = re.compile(rf"--({'|'.join(_OTHERS)})\b")


class ExportForm:
    """What is chosen in each field.

    Args:
        checkpoints: The checkpoints of the run, at least one.
    """

    def __init__(self, checkpoints: Sequence[Choice]) -> None:
        self._checkpoints = tuple(checkpoints)
        self._chosen = {name: self.options(name)[0].value for name in ("target", "checkpoint")}
        for name in FIELD_NAMES[2:]:
            self._chosen[name] = self.options(name)[0].value

    def label(self, name: FieldName) -> str:
        return _LABELS[name]

    def applies(self, name: FieldName) -> bool:
        """Whether the chosen target has this field."""
        return name != "custom_code" or self._target.custom_code

    def options(self, name: FieldName) -> tuple[Option, ...]:
        """What can be chosen in a field; the first is the default."""
        match name:
            case "target":
                return tuple(Option(info.name, info.summary) for info in TARGETS.values())
            case "checkpoint":
                return tuple(map(_checkpoint_option, self._checkpoints))
            case "weights":
                dtypes = [Option(dtype, "") for dtype in self._target.dtypes]
                return (
                    *dtypes,
                    *(Option(each, "quantised") for each in self._target.quantizations),
                )
            case _:
                return _SWITCHES[name]

    def chosen(self, name: FieldName) -> Option:
        return self.options(name)[self._place(name)]

    def change(self, name: FieldName, by: int) -> None:
        """Choose the next (1) or previous (-1) option of a field; the first follows the last."""
        options = self.options(name)
        self._chosen[name] = options[(self._place(name) + by) % len(options)].value

    def request(self, folder: str) -> ExportRequest:
        """The request of the form.

        Args:
            folder: The typed folder; empty = the run's exports folder.

        Raises:
            UsageError: The folder is not a path.
        """
        weights = self.chosen("weights").value
        is_dtype = weights in self._target.dtypes
        return ExportRequest(
            target=self._target.name,
            checkpoint=self.chosen("checkpoint").value,
            dtype=weights if is_dtype else None,
            quantize=None if is_dtype else weights,
            out=_path(folder.strip()),
            verify=self.chosen("verify").value == "yes",
            force=self.chosen("force").value == "yes",
            custom_code=self.applies("custom_code") and self.chosen("custom_code").value == "yes",
        )

    @property
    def _target(self) -> TargetInfo:
        return TARGETS[cast("TargetName", self._chosen.get("target", next(iter(TARGETS))))]

    def _place(self, name: FieldName) -> int:
        """Index of the chosen option; that of the default if the target does not have it."""
        values = [option.value for option in self.options(name)]
        return values.index(self._chosen[name]) if self._chosen[name] in values else 0


def _checkpoint_option(choice: Choice) -> Option:
    parts = [", ".join(choice.roles)] if len(choice.roles) > 1 else []
    if choice.step is not None:
        parts.append(f"step {choice.step:,}")
    if choice.metric is not None:
        parts.append(f"val loss {loss_text(choice.metric)}")
    return Option(choice.name, " · ".join(parts))


def in_terms_of_the_form(message: str) -> str:
    """A message of `tp export` with fields of the form in place of the command's options."""
    message = _CHOICE.sub(lambda found: f"'{_CHOICES[found[1]]}: {found[2]}'", message)
    return _OTHER.sub(lambda found: f"'{_OTHERS[found[1]]}'", message)


def _path(folder: str) -> Path | None:
    try:
        return Path(folder).expanduser() if folder else None
    except RuntimeError as error:
        raise UsageError(f"The folder {folder} does not exist: there is no such user.") from error
