"""What the machine did, for the rows of the log: which numbers, how often, and what is left out."""

from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch

from builders.nvidia import GIB, UUID, install_library
from transformer_playground.system.cores import CoreTimes
from transformer_playground.training import system_metrics
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.system_metrics import SystemMetrics

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@dataclass
class Machine:
    """Clocks that stand still until a test sets them: seconds passed, of this process, of cores."""

    passed: float = 0.0
    own: float = 0.0
    busy: float = 0.0
    is_known: bool = True
    reading_takes: float = 0.0

    def monotonic(self) -> float:
        return self.passed

    def process_time(self) -> float:
        return self.own

    def cores(self) -> CoreTimes | None:
        # Two cores.
        total = 2 * self.passed
        self.passed += self.reading_takes
        return CoreTimes(total, total - self.busy) if self.is_known else None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(system_metrics, "monotonic", found.monotonic)
    monkeypatch.setattr(system_metrics, "process_time", found.process_time)
    monkeypatch.setattr(CoreTimes, "of_all", found.cores)
    return found


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "free_space", lambda _: 7)


@pytest.mark.usefixtures("disk")
def test_cpu_is_that_since_the_reading_before_and_split_into_own_and_others(
    machine: Machine, tmp_path: Path
) -> None:
    metrics = SystemMetrics(tmp_path, CPU, DistInfo())
    machine.passed, machine.own, machine.busy = 2.0, 1.0, 3.0
    found = metrics.newest()
    assert found == {"cpu_percent": 50.0, "others_cpu_percent": 100.0, "disk_free": 7}
    machine.passed, machine.own, machine.busy = 4.0, 4.0, 6.0
    found = metrics.newest()
    assert (found["cpu_percent"], found["others_cpu_percent"]) == (150.0, 0.0)
    # The system counts in hundredths of a second: others are never below nothing.
    machine.passed, machine.own, machine.busy = 6.0, 6.0, 7.99
    assert metrics.newest()["others_cpu_percent"] == 0.0


@pytest.mark.usefixtures("disk")
def test_rows_repeat_a_reading_for_a_second(machine: Machine, tmp_path: Path) -> None:
    metrics = SystemMetrics(tmp_path, CPU, DistInfo())
    machine.passed = 0.05
    assert metrics.newest() == {}
    machine.passed, machine.own = 0.125, 0.125
    first = metrics.newest()
    assert first["cpu_percent"] == 100.0
    machine.passed = 1.1
    assert metrics.newest() is first
    machine.passed = 1.125
    assert metrics.newest()["cpu_percent"] == 0.0


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(("takes", "pause"), [(0.0001, 1.0), (0.001, 4.0), (0.5, 30.0)])
def test_a_machine_that_is_slow_to_read_is_read_less_often(
    takes: float, pause: float, machine: Machine, tmp_path: Path
) -> None:
    metrics = SystemMetrics(tmp_path, CPU, DistInfo())
    machine.passed, machine.reading_takes = 10.0, takes
    first = metrics.newest()
    machine.own = 1.0
    machine.passed = 10.0 + pause - 0.01
    assert metrics.newest() is first
    machine.passed = 10.0 + pause + 0.01
    assert metrics.newest()["cpu_percent"] > first["cpu_percent"]


def test_what_the_system_does_not_tell_is_left_out(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "memory_info", refuse)
    monkeypatch.setattr(system_metrics, "gpu_uuids", lambda *_: ("GPU-unknown",))
    machine.is_known = False
    metrics = SystemMetrics(tmp_path / "missing", CUDA, DistInfo())
    machine.passed = 1.0
    assert metrics.newest() == {"cpu_percent": 0.0}


@pytest.mark.usefixtures("disk")
def test_a_gpu_adds_its_numbers_and_the_memory_of_the_process(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = install_library(monkeypatch)
    asked = []

    def uuids(first: torch.device, count: int) -> tuple[str, ...]:
        asked.append((first, count))
        return (UUID,) * count

    monkeypatch.setattr(system_metrics, "gpu_uuids", uuids)
    monkeypatch.setattr(system_metrics, "process_memory", lambda: 5 * GIB)
    metrics = SystemMetrics(tmp_path, CUDA, DistInfo())
    machine.passed = 1.0
    gpu = {"gpu0_percent": 75.0, "gpu0_memory": 2 * GIB, "gpu0_celsius": 61}
    others = {"cpu_percent": 0.0, "others_cpu_percent": 0.0, "disk_free": 7}
    assert metrics.newest() == {**others, **gpu, "host_memory": 5 * GIB}
    library.nvmlDeviceGetPowerUsage = lambda _: 287_540
    machine.passed = 2.0
    assert metrics.newest()["gpu0_watts"] == 287.5
    assert asked == [(CUDA, 1)]


@pytest.mark.usefixtures("disk")
def test_of_several_processes_on_a_machine_all_gpus_are_told_but_not_what_others_compute(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_library(monkeypatch)
    monkeypatch.setattr(system_metrics, "gpu_uuids", lambda _, count: (UUID,) * count)
    metrics = SystemMetrics(tmp_path, CUDA, DistInfo(0, 0, 4, 2))
    machine.passed = 1.0
    found = metrics.newest()
    assert found.keys() >= {"gpu0_percent", "gpu1_percent", "cpu_percent"}
    assert found.keys().isdisjoint({"gpu2_percent", "others_cpu_percent"})
