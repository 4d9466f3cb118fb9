"""The Python environment of LIT, which needs an older numpy than this program."""

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
from filelock import FileLock

from transformer_playground.errors import UsageError, translate_os_errors
from transformer_playground.formatting import size_text

REQUIREMENTS = ("lit-nlp==1.3.1", "numpy<2")
# Every environment has the same packages, whenever it is made.
_NEWEST = "2026-11-20T00:00:00Z"
_NEWEST_PYTHON = (3, 12)
_EXPECTED = "about 700 MB"
_UNFINISHED = ".unfinished-"
_LEVEL = re.compile(r"^(?:caused by|cause|error):\s*", re.IGNORECASE)
_PROBE = "import importlib.metadata as m; print(m.version('lit-nlp'))"


def lit_python(*, env: Path | None, python: str | None, progress: Callable[[str], object]) -> Path:
    """The interpreter of an environment with LIT; made at the first use.

    Args:
        env: An environment that exists; None = one in the user's cache folder.
        python: Interpreter or version for a new environment; None = this one, or 3.12 if this one
            is newer.
        progress: Called with sentences for the user.

    Raises:
        UsageError: `env` has no LIT, or no environment can be made.
    """
    if env is not None:
        return _checked(env)
    version = python or default_python(sys.version_info[:2], sys.executable)
    folder = _folder(version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not _interpreter(folder).exists():
            uv = _uv()
            progress(f"making the environment of LIT, once, {_EXPECTED}: {folder}")
            _make(uv, folder, version)
            size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
            progress(f"made it ({size_text(size)}); delete the folder to make it again")
    return _interpreter(folder)


def default_python(running: tuple[int, int], executable: str) -> str:
    """The running interpreter if LIT's packages exist for its version, else the newest of them."""
    if running <= _NEWEST_PYTHON:
        return executable
    return ".".join(map(str, _NEWEST_PYTHON))


def _folder(python: str) -> Path:
    name = f"py{platform.python_version()}" if python == sys.executable else python
    name = "".join(letter if letter.isalnum() or letter == "." else "-" for letter in name)
    cache = platformdirs.user_cache_path("transformer-playground")
    return cache / f"{REQUIREMENTS[0].replace('==', '-')}-{name.strip('-')}"


def _interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def _checked(env: Path) -> Path:
    python = _interpreter(env)
    hint = f"Make one: uv venv {env} && uv pip install --python {python} " + " ".join(
        f"'{each}'" for each in REQUIREMENTS
    )
    try:
        found = subprocess.run([python, "-I", "-c", _PROBE], capture_output=True, check=False)
    except OSError as error:
        raise UsageError(f"{env} is not a Python environment.", hint) from error
    if found.returncode:
        raise UsageError(f"The environment {env} has no LIT.", hint)
    return python


def _uv() -> str:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise UsageError(
            "LIT needs an environment of its own, which uv makes, and there is no uv.",
            "Install uv (pip install uv), or name an environment that has LIT with --env FOLDER.",
        )
    return uv


def _make(uv: str, folder: Path, python: str) -> None:
    prefix = f"{folder.name}{_UNFINISHED}"
    with translate_os_errors(UsageError, "The environment of LIT cannot be made"):
        for each in folder.parent.iterdir():
            # The lock is held, so whoever made it was killed.
            if each.name.startswith(prefix):
                _remove(each)
    # Only a complete environment gets the name.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as unfinished:
        made = Path(unfinished) / "env"
        _run(uv, "venv", "--quiet", "--python", python, str(made))
        packages = ("--exclude-newer", _NEWEST, "--python", str(_interpreter(made)), *REQUIREMENTS)
        _run(uv, "pip", "install", "--quiet", *packages)
        with translate_os_errors(UsageError, f"The environment {folder} cannot be made again"):
            _remove(folder)
            made.rename(folder)


def _remove(path: Path) -> None:
    """Remove a folder, a file or a link, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise UsageError(
            f"The environment of LIT cannot be made: {failure_text(done.stderr)}.",
            "Try again with a network, or name an environment that has LIT with --env FOLDER.",
        )


def failure_text(stderr: str) -> str:
    """The reason in what uv wrote: its last cause, in one line."""
    lines = [line.strip(" ×│╰─▶├") for line in stderr.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("warning:", "hint:"))]
    causes = [line for line in lines if line.lower().startswith(("caused by:", "cause:"))]
    chosen = causes[-1:] or lines[-1:] or ["uv failed"]
    return _LEVEL.sub("", chosen[0]).rstrip(".")
