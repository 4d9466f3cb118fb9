import ast
import base64
import re
from pathlib import Path

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.lit import session
from transformer_playground.lit.environment import default_python, failure_text, lit_python
from transformer_playground.lit.icons import icon_style

PAGE = Path(session.__file__).with_name("page.py")


def test_the_page_imports_nothing_of_this_package() -> None:
    tree = ast.parse(PAGE.read_text(encoding="utf-8"))
    names = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names]
        )
    }
    assert {name for name in names if name} - {"lit_nlp"}
    assert not [name for name in names if name and name.startswith("transformer_playground")]


def test_icons_are_fonts_in_the_page_itself() -> None:
    style = icon_style()
    families = re.findall(r"font-family:'([^']+)'", style)
    assert families == ["Material Icons", "Google Material Icons", "Material Icons Outlined"]
    for data in re.findall(r"base64,([A-Za-z0-9+/=]+)\)", style):
        assert base64.b64decode(data).startswith(b"wOF2")
    assert "http" not in style
    assert len(style) < 50_000


def test_an_environment_without_lit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a Python environment"):
        lit_python(env=tmp_path, python=None, progress=print)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(UsageError, match="has no LIT"):
        lit_python(env=tmp_path, python=None, progress=print)
    python.write_text("#!/bin/sh\necho 1.3.1\n")
    assert lit_python(env=tmp_path, python=None, progress=print) == python


def fake_uv(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    uv = folder / "uv"
    uv.write_text(f"#!/bin/sh\n{body}\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("HOME", str(folder))


# `uv venv … FOLDER` makes bin/python of its last argument; `uv pip …` succeeds.
MAKES = """
for last; do :; done
if [ "$1" = venv ]; then mkdir -p "$last/bin"; : > "$last/bin/python"; fi
"""


def test_the_environment_is_made_once_and_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_uv(tmp_path / "made", MAKES, monkeypatch)
    said: list[str] = []
    python = lit_python(env=None, python="3.11", progress=said.append)
    assert python.exists()
    assert "about 700 MB" in said[0]
    assert "made it" in said[1]
    assert lit_python(env=None, python="3.11", progress=said.append) == python
    assert len(said) == 2


def test_a_failure_is_told_in_a_sentence_and_leaves_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = f"{MAKES}\nif [ \"$1\" = pip ]; then echo 'error: Failed to fetch' >&2; exit 1; fi"
    fake_uv(tmp_path / "fails", fails, monkeypatch)
    with pytest.raises(UsageError, match="cannot be made: Failed to fetch") as failed:
        lit_python(env=None, python="3.11", progress=lambda _: None)
    assert "--env FOLDER" in failed.value.hint
    assert not list((tmp_path / "fails").rglob("python"))


def test_a_broken_environment_and_what_a_killed_build_left_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_uv(tmp_path / "made", MAKES, monkeypatch)
    newer = lit_python(env=None, python="3.11", progress=lambda _: None)
    python = lit_python(env=None, python="3", progress=lambda _: None)
    folder = python.parent.parent
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    (folder / "lib").mkdir()
    left = folder.with_name(f"{folder.name}.unfinished-abc")
    (left / "env" / "bin").mkdir(parents=True)

    assert lit_python(env=None, python="3", progress=lambda _: None) == python
    assert python.exists()
    assert not (folder / "lib").exists()
    assert not left.exists()
    # Its name begins with that of the other.
    assert newer.exists()


@pytest.mark.parametrize("python", ["3/../../x", "../x", "/usr/bin/python3", "3\n/x"])
def test_an_environment_is_in_the_cache_folder_whatever_its_python_is_called(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_uv(tmp_path / "made", MAKES, monkeypatch)
    made = lit_python(env=None, python=python, progress=lambda _: None)

    folder = made.parent.parent
    assert ".." not in folder.parts
    assert folder.parent.name == "transformer-playground"
    assert re.fullmatch(r"[\w.-]+", folder.name)


def test_the_last_cause_is_the_reason() -> None:
    chain = "error: Failed to fetch: `x`\n  Caused by: 3 retries\n  Caused by: dns error.\n"
    assert failure_text(chain) == "dns error"
    assert failure_text("warning: old\nerror: No interpreter found\n") == "No interpreter found"
    assert failure_text("") == "uv failed"


def test_a_newer_python_gets_an_environment_of_an_older_one() -> None:
    assert default_python((3, 11), "/usr/bin/python") == "/usr/bin/python"
    assert default_python((3, 14), "/usr/bin/python") == "3.12"
