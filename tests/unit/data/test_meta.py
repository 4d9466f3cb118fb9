import contextlib
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from transformer_playground.data.meta import read_meta, write_meta
from transformer_playground.errors import DataError

META: dict[str, Any] = {"vocab_size": 2, "stoi": {"a": 0, "b": 1}, "itos": {0: "a", 1: "b"}}


class _Touch:
    """Creates a file when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def test_plain_pickle_reads_it_as_nanogpt_does(tmp_path: Path) -> None:
    write_meta(tmp_path / "meta.pkl", META)

    with (tmp_path / "meta.pkl").open("rb") as file:
        assert pickle.load(file) == META
    assert read_meta(tmp_path / "meta.pkl") == META


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_pickle_is_rejected_and_never_runs(protocol: int, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    path = tmp_path / "meta.pkl"
    path.write_bytes(pickle.dumps({"vocab_size": _Touch(trap)}, protocol=protocol))

    with pytest.raises(DataError, match="mkdir"):
        read_meta(path)

    assert not trap.exists()
    pickle.loads(path.read_bytes())
    assert trap.exists(), "the trap would have worked"


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(OrderedDict(META)),
        pickle.dumps({"path": Path("x")}),
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"(S'ls'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"Pid\n.",
        b"\x82\x01.",
    ],
    ids=["class", "path", "eval", "inst", "stack-global", "persistent-id", "extension"],
)
def test_classes_functions_and_persistent_objects_are_rejected(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "meta.pkl"
    path.write_bytes(content)

    with pytest.raises(DataError, match="Nothing in it was run"):
        read_meta(path)


@pytest.mark.parametrize("value", [[], "text", 7, None, {1: 2}, {"a": 1, b"b": 2}])
def test_anything_but_a_dictionary_with_text_keys_is_rejected(
    value: object, tmp_path: Path
) -> None:
    path = tmp_path / "meta.pkl"
    path.write_bytes(pickle.dumps(value))

    with pytest.raises(DataError, match="not a plain dictionary"):
        read_meta(path)


def test_every_truncation_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "meta.pkl"
    write_meta(path, META)
    whole = path.read_bytes()

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="damaged"):
            read_meta(path)


def test_every_flipped_byte_gives_a_dictionary_or_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "meta.pkl"
    write_meta(path, META)
    whole = path.read_bytes()

    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 0xFF]) + whole[index + 1 :])
        with contextlib.suppress(DataError):
            assert type(read_meta(path)) is dict


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_meta(tmp_path / "meta.pkl")


def test_a_folder_instead_of_the_file_gives_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "meta.pkl").mkdir()

    with pytest.raises(DataError, match="cannot be read"):
        read_meta(tmp_path / "meta.pkl")


def test_a_huge_file_is_rejected_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "meta.pkl"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(DataError, match="more than any real"):
        read_meta(path)
