"""How much the comparison pane says beside its rows."""

from transformer_playground.tui.compare.pane_texts import PaneTexts

TEXTS = PaneTexts(
    "a is best: val loss 1.9000, 0.1000 below b; Welch's t-test, p < 0.001.",
    ("The folder of run 'gone' was removed.",),
    ("The runs differ in their seeds and in nothing else.", "b is running.", "c is running."),
)


def test_everything_is_said_where_it_fits() -> None:
    assert TEXTS.height(40) == 2 + 1 + 4
    assert TEXTS.fitting(40, 7) == TEXTS


def test_notes_give_way_to_rows_as_a_count_and_the_first_of_them() -> None:
    fitted = TEXTS.fitting(40, 6)
    assert fitted.verdict.replace("\n", " ") == TEXTS.verdict
    assert fitted.problems == TEXTS.problems
    assert fitted.notes == ("3 notes: The runs differ in their …",)
    assert fitted.height(40) <= 6


def test_a_verdict_is_cut_to_two_lines_where_rows_need_the_others() -> None:
    fitted = TEXTS.fitting(24, -5)
    first, second = fitted.verdict.splitlines()
    assert (first, second) == ("a is best: val loss", "1.9000, 0.1000 below …")
    assert PaneTexts(TEXTS.verdict).fitting(24, -5).notes == ()


def test_a_single_note_has_no_count() -> None:
    assert PaneTexts("v", notes=("x" * 30 + " y z",)).fitting(35, 1).notes == ("x" * 30 + " …",)
