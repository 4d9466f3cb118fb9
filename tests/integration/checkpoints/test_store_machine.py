"""Whatever happens to a folder of checkpoints, the newest whole state is found."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from builders.checkpoints import flip_byte, names, put_back, read, save
from builders.disks import Crash, Trouble, WatchedDisk, crash_at, no_trouble, refuse_from
from transformer_playground.checkpoints.discovery import list_checkpoints, newest_valid
from transformer_playground.errors import CheckpointError

OPERATIONS = st.integers(1, 45)
LOSSES = st.none() | st.floats(0, 10)
KEEP = st.integers(0, 2)


class StoreMachine(RuleBasedStateMachine):
    """One run's checkpoint folder, a fresh store for each save."""

    @initialize(keep_last=KEEP, keep_best=KEEP)
    def begin(self, keep_last: int, keep_best: int) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.folder = self.home / "0"
        self.folder.mkdir()
        self.keep_last, self.keep_best = keep_last, keep_best
        self.step = self.moves = 0
        self.saved: int | None = None
        self.best: float | None = None

    def teardown(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)

    def _save(self, loss: float | None, trouble: Trouble) -> list[dict[str, bytes]]:
        """Try the next save; returns the states that a power cut at its end could leave."""
        self.step += 1
        with WatchedDisk(self.folder, trouble) as disk:
            try:
                save(
                    self.folder,
                    self.step,
                    val_loss=loss,
                    keep_last=self.keep_last,
                    keep_best=self.keep_best,
                )
            except (Crash, CheckpointError):
                self._look_again()
            else:
                self.saved = self.step
                if loss is not None:
                    self.best = loss if self.best is None else min(loss, self.best)
            return list(disk.after_power_cut())

    def _look_again(self) -> None:
        """After a failed save either the old or the new state is the newest, and the best."""
        found = [info.step for info in list_checkpoints(self.folder).valid]
        if self.saved is None and not found:
            return
        newest = newest_valid(self.folder).info
        assert newest is not None
        assert newest.step in (self.saved, self.step)
        self.saved = newest.step
        self._look_for_best()

    def _look_for_best(self) -> None:
        valid = list_checkpoints(self.folder).valid
        losses = [info.metric for info in valid if info.metric is not None]
        lowest = min(losses, default=None)
        if self.best is not None:
            assert lowest is not None
            assert lowest <= self.best
        self.best = lowest

    @rule(loss=LOSSES)
    def save(self, loss: float | None) -> None:
        self._save(loss, no_trouble)
        assert not [name for name in names(self.folder) if name.endswith(".tmp")]
        whole = [info.path.name for info in list_checkpoints(self.folder).valid]
        assert len([name for name in whole if name.startswith("ckpt_last")]) <= self.keep_last

    @rule(loss=LOSSES, number=OPERATIONS)
    def be_killed(self, loss: float | None, number: int) -> None:
        self._save(loss, crash_at(number))

    @rule(loss=LOSSES, number=OPERATIONS)
    def fill_the_disk(self, loss: float | None, number: int) -> None:
        self._save(loss, refuse_from(number))

    @rule(loss=LOSSES, number=OPERATIONS, data=st.data())
    def lose_power(self, loss: float | None, number: int, data: st.DataObject) -> None:
        before, best = self.saved, self.best
        states = self._save(loss, crash_at(number))
        self.moves += 1
        state = data.draw(st.sampled_from(states))
        self.folder = put_back(self.home / str(self.moves), state)
        if self.saved == self.step and before is not None:
            self.saved, self.best = before, best
        elif before is None:
            self.saved = self.best = None
        self._look_again()

    @rule()
    def be_moved(self) -> None:
        self.moves += 1
        self.folder = self.folder.rename(self.home / str(self.moves))

    @rule()
    def be_copied(self) -> None:
        self.moves += 1
        self.folder = shutil.copytree(self.folder, self.home / str(self.moves))

    @rule(last=KEEP, best=KEEP)
    def change_the_policy(self, last: int, best: int) -> None:
        self.keep_last, self.keep_best = last, best

    @precondition(lambda self: self.saved is not None)
    @rule(way=st.sampled_from(["flip", "truncate", "delete", "lose the sidecar"]))
    def damage_the_newest(self, way: str) -> None:
        victim = newest_valid(self.folder).path
        if len({info.sha256 for info in list_checkpoints(self.folder).valid}) == 1:
            return
        if way == "flip":
            flip_byte(victim)
        if way == "truncate":
            victim.write_bytes(victim.read_bytes()[:-1])
        if way == "delete":
            victim.unlink()
        if way == "lose the sidecar":
            victim.with_suffix(".json").unlink()
        found = newest_valid(self.folder)
        assert found.info is not None
        assert found.path != victim
        self.saved = found.info.step
        self.best = None
        self._look_for_best()

    @invariant()
    def the_newest_whole_state_is_found(self) -> None:
        if getattr(self, "saved", None) is None:
            return
        found = newest_valid(self.folder)
        assert found.info is not None
        assert found.info.step == self.saved
        assert read(found.path)["step"] == self.saved

    @invariant()
    def everything_called_whole_is_whole(self) -> None:
        if not hasattr(self, "folder"):
            return
        for info in list_checkpoints(self.folder).valid:
            assert read(info.path)["step"] == info.step


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=20,
    stateful_step_count=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
