"""What keys of the Data view act on: a window, a sequence of a batch, a text or a token."""

from unittest.mock import MagicMock

import numpy as np
import pytest

from transformer_playground.data.browsing.search import Match
from transformer_playground.data.browsing.token_bytes import TokenBytes
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.dataset_views.reading import (
    BatchRow,
    ShownToken,
    StepBatch,
    TokenWindow,
)
from transformer_playground.tui.data.jobs import Jobs
from transformer_playground.tui.data.places import Places
from transformer_playground.tui.data.view import DataView

INSIDE = "transformer_playground.tui.inside.actions.look_inside_tokens"
SEQUENCE = BatchRow(0, (ShownToken(2, "c", is_target=False), ShownToken(1, "b")))
BATCH = StepBatch(1_000, (BatchRow(0, (ShownToken(0, "a"),)), SEQUENCE), 1)


@pytest.fixture
def view() -> MagicMock:
    """A view of the text "abcabc" that keeps what is started in place of running it."""
    view = MagicMock()
    view.source.table = TokenBytes(CharTokenizer(["a", "b", "c"]))
    view.source.split.return_value = np.array([0, 1, 2, 0, 1, 2])
    view.source.config.train_block_size = 4
    view.jobs = MagicMock(spec=Jobs)
    return view


def show_window(view: MagicMock, places: Places) -> None:
    """Let the window be read that was asked for last."""
    *_, then = view.jobs.start.call_args.args
    tokens = [ShownToken(token, "abc"[token]) for token in (0, 1, 2)]
    then(TokenWindow("train", 0, 6, tuple(tokens)))
    view.jobs.reset_mock()


def test_keys_act_on_the_sequence_that_is_shown(
    view: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = MagicMock()
    monkeypatch.setattr(INSIDE, look)
    places = Places(view)
    places.read_again()
    show_window(view, places)
    assert places.text == "abc"
    places.match = Match(1, 1)

    places.show_sequence(BATCH, 1)

    assert places.text == "cb"
    assert places.shown == StepBatch(1_000, (SEQUENCE,), 1)
    view.query_one().show.assert_called_with(SEQUENCE.tokens, "step 1,000 · sequence 1", "")
    places.look_inside()
    assert look.call_args.args[2:] == ([2, 1], None, "batch of step 1,000")
    # What is counted meanwhile, or a window that is still read, does not take its place.
    places.read_again()
    view.jobs.start.assert_not_called()
    view.jobs.cancel.assert_called_with("read")
    places.move(1)
    show_window(view, places)
    assert places.text == "abc"


def test_the_next_match_is_that_of_what_was_chosen_last(view: MagicMock) -> None:
    places = Places(view)
    places._search(r"a\n")
    assert view.jobs.start.call_args.args[2].args[2] == "a\n"

    places.find(0)
    places.find_again(backwards=False)

    assert view.jobs.start.call_args.args[2].args[2] == 0
    *_, found = view.jobs.start.call_args.args
    found(None)
    assert view.notify.call_args.args[0] == "“a” is not in train."
    # An id means another token in another dataset.
    places.forget()
    view.jobs.reset_mock()
    places.find_again(backwards=False)
    view.jobs.start.assert_not_called()
    view.app.push_screen.assert_called_once()


def test_a_token_of_the_vocabulary_is_searched_by_its_id(view: MagicMock) -> None:
    view.pane, view.results.rows = "vocabulary", [MagicMock(token=129, text="\\xc3")]
    DataView.on_option_list_option_selected(view, MagicMock(option_index=0))
    view.places.find.assert_called_once_with(129)


def test_a_sequence_of_a_batch_is_shown_with_its_tokens(view: MagicMock) -> None:
    view.pane = "batch"
    DataView.on_option_list_option_selected(view, MagicMock(option_index=1))
    view.places.show_sequence.assert_called_once_with(view.results.batch, 1)


def test_a_view_that_is_shown_again_tries_again_to_open(view: MagicMock) -> None:
    view._problem = "There is no prepared dataset."
    DataView.on_screen_resume(view)
    assert view._problem == ""


@pytest.mark.parametrize(("is_computing", "threads"), [(True, 1), (False, None)])
def test_a_measurement_beside_a_run_takes_one_core(
    view: MagicMock, is_computing: bool, threads: int | None
) -> None:
    view.context.training.is_computing = is_computing
    assert DataView.threads.__get__(view) == threads
