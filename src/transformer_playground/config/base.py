"""What every configuration table shares."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError


class Table(BaseModel):
    """A TOML table: unknown keys, wrong types and non-finite numbers are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


# TOML knows neither paths nor tuples, so these two accept what TOML can write.
Folder = Annotated[Path, Strict(False)]
Strings = Annotated[tuple[str, ...], Strict(False)]


def conflict(message: str, *keys: str) -> PydanticCustomError:
    """An impossible combination of settings.

    Args:
        message: What cannot be together and what would work.
        keys: Dotted names of the settings involved, so that the error can name their files.
    """
    return PydanticCustomError("conflict", "{message}", {"message": message, "keys": keys})


def setting(default: Any, description: str, **constraints: Any) -> Any:
    """A field with the one-line description that errors, docs and the console show."""
    return Field(default=default, description=description, **constraints)
