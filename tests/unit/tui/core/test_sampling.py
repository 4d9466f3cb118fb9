"""Sampling in a worker thread: results, cached models and errors."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.training import runtime, train
from transformer_playground.generation.samples import SampledToken, SampleEnd
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.tui.core.sampling import (
    Failed,
    SampleJob,
    SamplingService,
    Source,
    Started,
    Update,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `run` in `runs/`; read only."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder)
    return folder


def job(*sources: Source, prompt: str = "1", threads: int | None = None, **asked: Any) -> SampleJob:
    request = SampleRequest(prompt=prompt, prompt_is_literal=True, **asked)
    return SampleJob(sources or (Source("run"),), request, threads)


def drawn(service: SamplingService, job: SampleJob) -> list[Update]:
    service.work(job)
    assert job.is_over
    return job.drain()


def text_of(updates: list[Update], column: int = 0, sample: int = 0) -> str:
    return "".join(
        event.text
        for at, event in updates
        if isinstance(event, SampledToken | SampleEnd) and (at, event.sample) == (column, sample)
    )


def models(updates: list[Update]) -> list[Any]:
    return [event.loaded.model for _, event in updates if isinstance(event, Started)]


def problems(updates: list[Update]) -> list[str]:
    return [event.problem for _, event in updates if isinstance(event, Failed)]


@contextmanager
def in_thread(body: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=body)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()


def test_a_job_returns_every_sample_with_alternatives_of_each_token(trained: Path) -> None:
    updates = drawn(SamplingService(trained / "runs"), job(n_samples=3, max_new_tokens=5))

    assert isinstance(updates[0].event, Started)
    assert [len(text_of(updates, sample=sample)) for sample in range(3)] == [5, 5, 5]
    tokens = [event for _, event in updates if isinstance(event, SampledToken)]
    assert len(tokens) == 15
    for token in tokens:
        likeliest = [each.logprob for each in token.alternatives]
        assert likeliest == sorted(likeliest, reverse=True)
        assert len(likeliest) == 6


def test_the_same_seed_gives_the_same_text_and_another_seed_another_text(trained: Path) -> None:
    service = SamplingService(trained / "runs")

    def text(seed: int) -> str:
        return text_of(drawn(service, job(max_new_tokens=30, seed=seed)))

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_several_sources_are_sampled_in_parallel(trained: Path) -> None:
    updates = drawn(
        SamplingService(trained / "runs"),
        job(Source("run", "best"), Source("run", "last"), max_new_tokens=5),
    )

    columns = [at for at, event in updates if not isinstance(event, Started)]
    assert columns == [0, 1] * 6


def test_a_failing_source_does_not_affect_the_others(trained: Path) -> None:
    updates = drawn(
        SamplingService(trained / "runs"),
        job(Source("nowhere"), Source("run"), max_new_tokens=5),
    )

    assert len(text_of(updates, column=1)) == 5
    failures = [(at, event.problem) for at, event in updates if isinstance(event, Failed)]
    assert [(at, "nowhere" in problem) for at, problem in failures] == [(0, True)]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit("overflow")])
def test_no_class_of_exception_ends_the_others_or_stays_silent(
    trained: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def failing(run: RunFolder, *_: Any, **__: Any) -> Any:
        raise error

    service = SamplingService(trained / "runs")
    monkeypatch.setattr("transformer_playground.runs.generation.load_run", failing)
    (problem,) = problems(drawn(service, job()))
    assert problem.startswith(type(error).__name__)

    monkeypatch.undo()
    assert len(text_of(drawn(service, job(max_new_tokens=5)))) == 5


def test_an_exception_outside_the_drawing_is_shown_for_every_source(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(count: int) -> None:
        raise SystemExit(count)

    monkeypatch.setattr(torch, "set_num_threads", failing)
    updates = drawn(SamplingService(trained / "runs"), job(Source("run"), Source("run"), threads=1))

    assert problems(updates) == ["SystemExit: 1"] * 2


def test_a_character_unknown_to_the_tokenizer_gives_a_clear_error(trained: Path) -> None:
    (problem,) = problems(drawn(SamplingService(trained / "runs"), job(prompt="Ω")))

    assert "Ω" in problem


def test_a_prompt_that_is_not_used_as_it_is_has_a_notice(trained: Path) -> None:
    updates = drawn(SamplingService(trained / "runs"), job(prompt="12" * 99, max_new_tokens=1))

    (started,) = (event for _, event in updates if isinstance(event, Started))
    assert "the prompt has 198 tokens" in started.loaded.notices[0]


def test_a_damaged_checkpoint_gives_a_clear_error(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    for file in (tmp_path / "runs/run/checkpoints").glob("*.pt"):
        file.write_bytes(b"torn")

    (problem,) = problems(drawn(SamplingService(tmp_path / "runs"), job()))

    assert "checkpoint" in problem


def test_a_model_is_loaded_once_for_all_jobs_and_names(trained: Path) -> None:
    service = SamplingService(trained / "runs")
    (first,) = models(drawn(service, job(Source("run", "last"))))
    (name,) = {path.name for path in (trained / "runs/run/checkpoints").glob("ckpt_last_*20.pt")}

    assert models(drawn(service, job(Source("run", "last"), prompt="2"))) == [first]
    assert models(drawn(service, job(Source("run", name)))) == [first]


def test_a_checkpoint_that_training_replaced_is_loaded_again(tmp_path: Path) -> None:
    train(tmp_path)
    train(tmp_path, runtime(seed=7), run_id="other")
    service = SamplingService(tmp_path / "runs")
    (before,) = models(drawn(service, job(Source("run", "last"))))
    old, new = (RunFolder(tmp_path / "runs" / name).checkpoints for name in ("run", "other"))
    shutil.rmtree(old)
    shutil.copytree(new, old)

    (after,) = models(drawn(service, job(Source("run", "last"))))

    weights = [model.token_embedding.weight for model in (before, after)]
    assert not torch.equal(*weights)


def test_a_damaged_file_is_not_mistaken_for_the_valid_one_before(tmp_path: Path) -> None:
    train(tmp_path)
    service = SamplingService(tmp_path / "runs")
    drawn(service, job())
    for file in RunFolder(tmp_path / "runs/run").checkpoints.glob("*.pt"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.unlink()
        file.write_bytes(data)

    assert problems(drawn(service, job()))


def test_stopping_ends_every_sample_before_its_next_token(trained: Path) -> None:
    service = SamplingService(trained / "runs")
    long = job(max_new_tokens=1_000_000)
    with in_thread(lambda: service.work(long)):
        updates: list[Update] = []
        while len(updates) < 3:
            updates += long.drain()
        long.stop()
    updates += long.drain()

    last = updates[-1].event
    assert isinstance(last, SampleEnd)
    assert last.finish_reason == "cancelled"
    assert len(updates) < 1_000_000


def test_sampling_waits_for_its_consumer_until_it_is_stopped(trained: Path) -> None:
    service = SamplingService(trained / "runs")
    long = job(max_new_tokens=1_000_000)
    update = Update(0, Failed("x"))
    for _ in range(50_000):
        long.put(update)
    with in_thread(lambda: service.work(long)) as thread:
        thread.join(0.2)
        assert thread.is_alive()
        long.stop()


def test_a_job_stopped_before_its_start_loads_nothing(trained: Path) -> None:
    stopped = job()
    stopped.stop()

    assert drawn(SamplingService(trained / "runs"), stopped) == []


class ThreadCounter(SampleJob):
    """Records the number of threads at each event."""

    def __init__(self) -> None:
        super().__init__((Source("run"),), SampleRequest(prompt="1"), threads=1)
        self.seen: set[int] = set()

    def put(self, update: Update) -> None:
        self.seen.add(torch.get_num_threads())
        super().put(update)


def test_the_number_of_threads_applies_only_to_the_sampling(trained: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        counter = ThreadCounter()
        SamplingService(trained / "runs").work(counter)
        assert counter.seen == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
