"""A preparer that dies at any point leaves the old dataset or the new one, never a mixture."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders.corpora import STORY, files_of, prepare, prepare_config, prepared, write_raw
from transformer_playground.data.dataset import open_dataset
from transformer_playground.data.prepare import dataset_state

# For each folder and number it prepares in a forked child, which is killed, as by a power cut,
# right before its n-th call that changes a folder; the answer is the child's wait status.
DIES = """
import json, os, signal, sys
from pathlib import Path

import transformer_playground.data.prepare as prepare
from transformer_playground.config.prepare import PrepareConfig

calls = 0
EVENTS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}

def prepare_until(folder, last):
    def count(event, arguments):
        global calls
        if event in EVENTS:
            calls += 1
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)

    config = PrepareConfig(raw_dir=folder / "raw", dataset_dir=folder / "datasets")
    sys.addaudithook(count)
    prepare.prepare_dataset(config, report=lambda line: None)

for line in sys.stdin:
    folder, last = json.loads(line)
    child = os.fork()
    if child == 0:
        prepare_until(Path(folder), last)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture
def killed_before() -> Iterator[Callable[[Path, int], bool]]:
    """Prepare a folder; whether that was killed before its n-th change to a folder."""
    with subprocess.Popen(
        [sys.executable, "-c", DIES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        asked, answers = server.stdin, server.stdout

        def ask(folder: Path, number: int) -> bool:
            asked.write(json.dumps([str(folder), number]) + "\n")
            asked.flush()
            code = os.waitstatus_to_exitcode(int(answers.readline()))
            assert code in (0, -signal.SIGKILL)
            return code != 0

        yield ask


def test_a_kill_at_every_change_leaves_the_old_or_the_new_dataset(
    tmp_path: Path, killed_before: Callable[[Path, int], bool]
) -> None:
    spm = {"tokenizer_type": "sentencepiece", "vocab_size": 300}
    new_text = STORY.swapcase() * 6
    new = files_of(prepared(tmp_path / "new", new_text).dataset_dir)
    old = files_of(prepared(tmp_path / "old", STORY * 5, **spm).dataset_dir)
    outcomes = []

    for number in range(1, 100):
        folder = shutil.copytree(tmp_path / "old", tmp_path / str(number))
        write_raw(folder, new_text)
        if not killed_before(folder, number):
            break
        open_dataset(folder / "datasets", prepare_command="tp prepare tiny")
        found = files_of(folder / "datasets")
        assert found in (old, new), number
        outcomes.append(found == new)
        # Whoever prepares next gets the new dataset and clears up.
        prepare(prepare_config(folder))
        assert files_of(folder / "datasets") == new
        assert [path.name for path in (folder / "datasets").glob(".*")] == [".prepare.lock"]

    assert outcomes == sorted(outcomes), "from one point on it is the new one"
    assert {False, True} == set(outcomes)


def test_the_state_of_a_half_moved_dataset_is_that_of_the_new_one(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    new = files_of(config.dataset_dir)
    ready = config.dataset_dir / ".ready"
    ready.mkdir()
    for name in ("val.bin", "meta.pkl"):
        (config.dataset_dir / name).rename(ready / name)

    assert dataset_state(config) == "prepared"
    assert files_of(config.dataset_dir) == new
    assert not ready.exists()


def test_an_interrupt_leaves_no_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = prepared(tmp_path)
    before = files_of(config.dataset_dir)
    write_raw(tmp_path, STORY * 7)

    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(config)

    assert files_of(config.dataset_dir) == before
    assert [path.name for path in config.dataset_dir.glob(".*")] == [".prepare.lock"]


def test_an_abandoned_build_is_cleared_by_the_next_prepare(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    abandoned = config.dataset_dir / ".building-x"
    abandoned.mkdir()
    (abandoned / "train.bin").write_bytes(b"half")

    prepare(config)

    assert not abandoned.exists()


def test_a_committed_but_unreadable_dataset_is_built_again(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    whole = files_of(config.dataset_dir)
    ready = config.dataset_dir / ".ready"
    ready.mkdir()
    (ready / "meta.pkl").write_bytes(b"damaged")

    assert dataset_state(config) == "stale"
    assert prepare(config).refreshed
    assert files_of(config.dataset_dir) == whole
