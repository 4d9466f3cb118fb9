"""What is pinned is a checkpoint of the run that is shown."""

from transformer_playground.tui.model.reading import (
    FoundStep,
    PinnedCheckpoints,
    Reading,
    Subject,
)

FOUND = (FoundStep("ckpt_1.pt", 1), FoundStep("ckpt_2.pt", 2))
ONE, TWO = Subject("one"), Subject("two")


def test_a_checkpoint_of_the_run_shown_is_pinned_and_the_newest_unpins() -> None:
    pinned = PinnedCheckpoints()
    reading = Reading(ONE, found=FOUND)
    assert pinned.pin(reading, "ckpt_1.pt", ONE)
    assert pinned.of(ONE) == Subject("one", checkpoint="ckpt_1.pt")
    assert pinned.of(TWO) == TWO
    # What is looked at now names the checkpoint that was pinned.
    assert pinned.pin(reading, "ckpt_2.pt", pinned.of(ONE))
    assert pinned.of(ONE) == ONE


def test_a_checkpoint_chosen_of_a_run_that_is_no_longer_looked_at_pins_nothing() -> None:
    pinned = PinnedCheckpoints()
    for subject in (TWO, Subject("one", is_run=False), None):
        assert not pinned.pin(Reading(ONE, found=FOUND), "ckpt_1.pt", subject)
    assert pinned.of(ONE) == ONE
    assert pinned.of(TWO) == TWO
