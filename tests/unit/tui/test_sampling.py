"""Drawing in a worker thread: what arrives, what is kept, and what goes wrong."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.training import runtime, train
from transformer_playground.runs.layout import RunFolder
from transformer_playground.tui.state.sampling import (
    Ask,
    Began,
    Drawing,
    Drawn,
    Failed,
    SamplingService,
    Source,
    Update,
)

LONG = {"sample": {"max_new_tokens": 1_000_000}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `run` in `runs/`; read only."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder)
    return folder


def ask(
    *sources: Source, prompt: str | None = "1", threads: int | None = None, **sample: Any
) -> Ask:
    return Ask(sources or (Source("run"),), prompt, {"sample": sample}, threads)


def drawn(service: SamplingService, what: Ask) -> list[Update]:
    drawing = Drawing(what)
    service.work(drawing)
    assert drawing.is_over
    return drawing.drain()


def text_of(updates: list[Update], column: int = 0, sample: int = 0) -> str:
    return "".join(
        update.piece.text
        for update in updates
        if isinstance(update, Drawn) and update.column == column and update.piece.sample == sample
    )


def models(updates: list[Update]) -> list[Any]:
    return [update.loaded.model for update in updates if isinstance(update, Began)]


def problems(updates: list[Update]) -> list[str]:
    return [update.problem for update in updates if isinstance(update, Failed)]


@contextmanager
def in_thread(body: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=body)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()


def test_a_drawing_gives_every_sample_with_alternatives_of_each_token(trained: Path) -> None:
    updates = drawn(SamplingService(trained / "runs"), ask(num_samples=3, max_new_tokens=5))

    assert isinstance(updates[0], Began)
    assert [len(text_of(updates, sample=sample)) for sample in range(3)] == [5, 5, 5]
    tokens = [update.piece.drawn for update in updates if isinstance(update, Drawn)]
    for token in filter(None, tokens):
        likeliest = [each.logprob for each in token.alternatives]
        assert likeliest == sorted(likeliest, reverse=True)
        assert len(likeliest) == 6


def test_the_same_seed_gives_the_same_text_and_another_one_another(trained: Path) -> None:
    service = SamplingService(trained / "runs")

    def text(seed: int) -> str:
        options = {"sample": {"max_new_tokens": 30}, "runtime": {"seed": seed}}
        return text_of(drawn(service, Ask((Source("run"),), "1", options)))

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_several_sources_grow_side_by_side(trained: Path) -> None:
    updates = drawn(
        SamplingService(trained / "runs"),
        ask(Source("run", "best"), Source("run", "last"), max_new_tokens=5),
    )

    columns = [update.column for update in updates if isinstance(update, Drawn)]
    assert columns == [0, 1] * 6


def test_a_source_that_fails_leaves_the_others_alone(trained: Path) -> None:
    updates = drawn(
        SamplingService(trained / "runs"),
        ask(Source("nowhere"), Source("run"), max_new_tokens=5),
    )

    assert len(text_of(updates, column=1)) == 5
    assert [(update.column, "nowhere" in update.problem) for update in updates
            if isinstance(update, Failed)] == [(0, True)]  # fmt: skip


def test_a_character_that_the_tokenizer_lacks_becomes_a_sentence(trained: Path) -> None:
    (problem,) = problems(drawn(SamplingService(trained / "runs"), ask(prompt="Ω")))

    assert "Ω" in problem


def test_a_damaged_checkpoint_becomes_a_sentence(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    for file in (tmp_path / "runs/run/checkpoints").glob("*.pt"):
        file.write_bytes(b"torn")

    (problem,) = problems(drawn(SamplingService(tmp_path / "runs"), ask()))

    assert "checkpoint" in problem


def test_a_model_is_loaded_once_however_often_and_by_whatever_name(trained: Path) -> None:
    service = SamplingService(trained / "runs")
    (first,) = models(drawn(service, ask(Source("run", "last"))))
    (name,) = {path.name for path in (trained / "runs/run/checkpoints").glob("ckpt_last_*20.pt")}

    assert models(drawn(service, ask(Source("run", "last"), prompt="2"))) == [first]
    assert models(drawn(service, ask(Source("run", name)))) == [first]


def test_a_checkpoint_that_training_replaced_is_loaded_anew(tmp_path: Path) -> None:
    train(tmp_path)
    train(tmp_path, runtime(seed=7), run_id="other")
    service = SamplingService(tmp_path / "runs")
    (before,) = models(drawn(service, ask(Source("run", "last"))))
    old, new = (RunFolder(tmp_path / "runs" / name).checkpoints for name in ("run", "other"))
    shutil.rmtree(old)
    shutil.copytree(new, old)

    (after,) = models(drawn(service, ask(Source("run", "last"))))

    weights = [model.token_embedding.weight for model in (before, after)]
    assert not torch.equal(*weights)


def test_a_damaged_file_is_not_taken_for_the_whole_one_that_was_there(tmp_path: Path) -> None:
    train(tmp_path)
    service = SamplingService(tmp_path / "runs")
    drawn(service, ask())
    for file in RunFolder(tmp_path / "runs/run").checkpoints.glob("*.pt"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.unlink()
        file.write_bytes(data)

    assert problems(drawn(service, ask()))


def test_stopping_ends_every_sample_before_its_next_token(trained: Path) -> None:
    service = SamplingService(trained / "runs")
    drawing = Drawing(Ask((Source("run"),), "1", LONG))
    with in_thread(lambda: service.work(drawing)):
        updates: list[Update] = []
        while len(updates) < 3:
            updates += drawing.drain()
        drawing.stop()
    updates += drawing.drain()

    last = updates[-1]
    assert isinstance(last, Drawn)
    assert last.piece.finish_reason == "cancelled"
    assert len(updates) < 1_000_000


def test_drawing_waits_when_nobody_drains_and_a_stop_frees_it(trained: Path) -> None:
    service = SamplingService(trained / "runs")
    drawing = Drawing(Ask((Source("run"),), "1", {"sample": {"max_new_tokens": 10**6}}))
    update = Failed(0, "x")
    for _ in range(50_000):
        drawing.put(update)
    with in_thread(lambda: service.work(drawing)) as thread:
        thread.join(0.2)
        assert thread.is_alive()
        drawing.stop()


def test_what_was_stopped_before_its_turn_loads_nothing(trained: Path) -> None:
    drawing = Drawing(ask())
    drawing.stop()

    SamplingService(trained / "runs").work(drawing)

    assert drawing.is_over
    assert drawing.drain() == []


class ThreadCounter(Drawing):
    """Notes how many threads compute each time that something comes."""

    def __init__(self, what: Ask) -> None:
        super().__init__(what)
        self.seen: set[int] = set()

    def put(self, update: Update) -> None:
        self.seen.add(torch.get_num_threads())
        super().put(update)


def test_the_number_of_threads_holds_for_the_drawing_alone(trained: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        drawing = ThreadCounter(ask(threads=1))
        SamplingService(trained / "runs").work(drawing)
        assert drawing.seen == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
