"""Work in a thread that always ends with an answer: its result, or the error that ended it."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from transformer_playground.errors import PlaygroundError, describe_error

if TYPE_CHECKING:
    from textual.dom import DOMNode
    from textual.worker import Worker

_T = TypeVar("_T")


def result_or_error(what: str, work: Callable[[], _T]) -> _T | PlaygroundError:
    """What `work` returns, or a sentence about why it did not end.

    Args:
        what: What the work does, to begin the sentence about a fault that was not foreseen, such
            as "Counting n-grams".
    """
    try:
        return work()
    except PlaygroundError as error:
        return error
    except MemoryError:
        reason = "there is not enough memory"
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        reason = f"{error.strerror or error}{place}"
    # Not only Exception: a panic in Rust code is none.
    except BaseException as error:  # noqa: BLE001
        reason = describe_error(error)
    return PlaygroundError(f"{what} failed: {reason.rstrip('.')}.")


def answer_in_thread(
    owner: "DOMNode",
    what: str,
    work: Callable[[], _T],
    answer: Callable[[_T | PlaygroundError], object],
    *,
    group: str,
    exclusive: bool = False,
) -> "Worker[None]":
    """Run `work` in a thread, then `answer` in the console's own, whatever happens.

    Args:
        owner: The work is cancelled, but not interrupted, when this is removed.
        what: What the work does, as for `result_or_error`.
        answer: Called with the result or the error; the owner may be gone by then.
        group: Group of the worker.
        exclusive: Whether the earlier workers of the group are cancelled.
    """

    app = owner.app

    def body() -> None:
        found = result_or_error(what, work)
        app.call_from_thread(partial(answer, found))

    return owner.run_worker(
        body, group=group, thread=True, exclusive=exclusive, exit_on_error=False
    )
