"""Input order: every key is handled completely before the next one."""

from collections import deque
from collections.abc import Awaitable, Callable

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.message import Message

# Seconds between looks whether the widget that has the key still exists, and how many of them.
_LOOK_SECONDS = 0.1
_MAX_LOOKS = 20
# Messages that a key causes can cause further ones. A queue looks empty while its last message
# is taken out, so it must look empty twice in a row.
_QUIET_ROUNDS = 2
# Some widgets always have messages.
_MAX_ROUNDS = 12


class KeyFollower(Message, bubble=True, verbose=True):
    """Follows a key through the queues of the same widgets and reaches the app behind it."""


class InputOrder:
    """Hands keys, pasted text and mouse events to an app, each when the key before it is done.

    Textual forwards a key without waiting for the one before. A text field inserts a character at
    once, but the action of a bound key runs only when the key has bubbled up to the app. Typed
    quickly, characters would overtake an earlier backspace, and the letters after a key that opens
    a dialog would be commands of the view below.

    Args:
        handle: Textual's own handling of an input event.
    """

    def __init__(self, app: App[int], handle: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app, self._handle = app, handle
        self._waiting: deque[events.Event] = deque()
        self._follower: KeyFollower | None = None
        self._target: DOMNode = app
        self._rounds = self._quiet_rounds = 0

    async def put(self, event: events.Event) -> None:
        """Handle an event now, or after those that wait."""
        self._waiting.append(event)
        if self._follower is None:
            await self._handle_next()

    async def on_follower(self, follower: KeyFollower) -> None:
        """Continue if the key and everything it caused is done; called by the app."""
        if follower is not self._follower or self._is_ending:
            return
        self._rounds += 1
        self._quiet_rounds = self._quiet_rounds + 1 if self._is_quiet() else 0
        if self._rounds < _MAX_ROUNDS and self._quiet_rounds < _QUIET_ROUNDS:
            self._follow()
        else:
            await self._handle_next()

    async def _handle_next(self) -> None:
        self._follower = None
        while self._waiting and self._follower is None and not self._is_ending:
            event = self._waiting.popleft()
            self._target = self._receiver
            await self._handle(event)
            if isinstance(event, (events.Key, events.Paste)):
                self._rounds = self._quiet_rounds = 0
                self._follow()

    @property
    def _is_ending(self) -> bool:
        # The last keys of a session arrive when its screens are gone.
        return not self._app.is_running or not self._app.screen_stack

    @property
    def _receiver(self) -> DOMNode:
        return self._app.focused or self._app.screen

    def _is_quiet(self) -> bool:
        """Whether no message waits in the widget with the focus, those it lies in, and the app."""
        receiver, before = self._receiver, self._target
        self._target = receiver
        # A screen that is being mounted has not set the focus yet.
        return (
            receiver is before
            and self._app.screen.is_mounted
            and not any(node.message_queue_size for node in receiver.ancestors_with_self)
        )

    def _follow(self) -> None:
        follower = self._follower = KeyFollower()
        if self._target.post_message(follower):
            self._watch(follower, self._target, _MAX_LOOKS)
        else:
            self._app.call_later(self.on_follower, follower)

    def _watch(self, follower: KeyFollower, target: DOMNode, looks: int) -> None:
        """Continue without the follower if its widget was removed, or takes too long."""

        async def look() -> None:
            if follower is not self._follower or self._is_ending:
                return
            if looks > 1 and target.is_attached and target.is_running:
                self._watch(follower, target, looks - 1)
            else:
                await self.on_follower(follower)

        self._app.set_timer(_LOOK_SECONDS, look)
