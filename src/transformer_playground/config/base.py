"""Base class and field helpers of the configuration tables."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError


class Table(BaseModel):
    """A TOML table: unknown keys, wrong types and non-finite numbers are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )


# TOML has neither paths nor tuples, so these two also accept strings and lists.
Folder = Annotated[Path, Strict(False)]
Strings = Annotated[tuple[str, ...], Strict(False)]


def conflict(message: str, *keys: str) -> PydanticCustomError:
    """An error for settings that do not work together; `keys` are their dotted names."""
    return PydanticCustomError("conflict", "{message}", {"message": message, "keys": keys})


def check_float16(name: str, dtype: str, device: str, *keys: str) -> None:
    """Raise a conflict of `keys` if the setting `name` is float16 and the device lacks it."""
    if dtype == "float16" and device in ("cpu", "mps"):
        raise conflict(
            f"{name} = 'float16' needs a CUDA device, not {device}; "
            "use 'auto', 'bfloat16' or 'float32'",
            *keys,
        )


def setting(default: Any, description: str, **constraints: Any) -> Any:
    """A field with the one-line description that errors, docs and the console show."""
    return Field(default=default, description=description, **constraints)
