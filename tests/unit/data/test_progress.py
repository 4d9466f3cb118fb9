import pytest

from transformer_playground.data.progress import Progress, Stage


def test_the_time_left_follows_from_the_speed_so_far() -> None:
    progress = Progress("Encoding", done=25, total=100, seconds=2.0)

    assert progress.left == 6.0
    assert str(Progress("Encoding", 25_000_000, 100_000_000, 2.0)) == (
        "Encoding: 25%, 12.5 M characters/s, 6s left"
    )


@pytest.mark.parametrize(("done", "total"), [(0, 100), (0, 0)])
def test_without_anything_done_no_time_is_guessed(done: int, total: int) -> None:
    progress = Progress("Encoding", done, total, 1.0)

    assert progress.left is None
    assert str(progress) == "Encoding: 0%"


def test_more_than_was_counted_is_not_more_than_everything() -> None:
    progress = Progress("Encoding", 120, 100, 1.0)

    assert progress.left == 0
    assert "100%" in str(progress)


def test_a_stage_adds_up_what_is_done() -> None:
    shown: list[Progress] = []
    stage = Stage("Encoding", 10, shown.append)

    for characters in (4, 0, 6):
        stage.advance(characters)

    assert [(each.stage, each.done, each.total) for each in shown] == [
        ("Encoding", 4, 10),
        ("Encoding", 4, 10),
        ("Encoding", 10, 10),
    ]
