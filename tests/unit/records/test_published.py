"""Published results, and which runs keep the limits of a track."""

from dataclasses import replace
from pathlib import Path

import pytest

from builders.comparisons import finished_run
from transformer_playground.comparison.compared_run import read_run
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import is_bundled
from transformer_playground.records.published import (
    WHOLE_SPLIT,
    find_dataset,
    find_track,
    published,
)
from transformer_playground.records.standing import Standing, is_within
from transformer_playground.records.tables import other_table, whole_split_table
from transformer_playground.runs.clock import TrainingClock


def test_every_result_says_its_source_and_what_it_is_measured_on() -> None:
    results = [each for records in published().values() for each in records.results]

    assert len(results) >= 16
    for each in results:
        assert each.source.strip()
        assert each.measured_on.strip()
        assert 0 < each.loss < 5


def test_no_result_of_other_windows_is_ranked_with_the_whole_split() -> None:
    records = find_dataset("shakespeare_char")

    ranked = whole_split_table(records, Standing((), (), None), 10)
    others = other_table(records)

    whole = [each.name for each in records.results if each.measured_on == WHOLE_SPLIT]
    assert sorted(ranked[0].cells) == sorted(whole)
    assert set(ranked[0].cells).isdisjoint(others[0].cells)
    assert len(ranked[0].cells) + len(others[0].cells) == len(records.results)
    # The best first.
    assert others[1].cells[0] == "1.4655 ± 0.0012"


def test_each_track_begins_with_an_experiment_that_comes_with_the_package() -> None:
    data, track = find_track("laptop")

    assert data == "shakespeare_char"
    assert (track.minutes, track.threads) == (10.0, 2)
    assert all(is_bundled(each.experiment) for d in published().values() for each in d.tracks)


def test_an_unknown_name_is_a_sentence_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no records of 'imagenet'") as caught:
        find_dataset("imagenet")
    assert "enwik8" in caught.value.hint
    with pytest.raises(UsageError, match="no track 'desktop'"):
        find_track("desktop")


@pytest.mark.parametrize(
    ("seconds", "threads", "device", "counts"),
    [
        (600.0, "2", "cpu", True),
        (605.0, "1", "cpu", True),
        (640.0, "2", "cpu", False),
        (600.0, "4", "cpu", False),
        (600.0, "2", "cuda", False),
        (600.0, None, "cpu", False),
        (0.0, "2", "cpu", False),
    ],
)
def test_a_run_counts_for_a_track_within_its_time_threads_and_device(
    tmp_path: Path, seconds: float, threads: str | None, device: str, counts: bool
) -> None:
    run = read_run(finished_run(tmp_path, "run"))
    environment = {"device": device} | ({} if threads is None else {"threads": threads})
    clock = TrainingClock(total=seconds)
    run = replace(run, environment=environment, summary=replace(run.summary, clock=clock))

    assert is_within(run, find_track("laptop")[1]) is counts
