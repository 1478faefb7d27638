"""A queue bounded in bytes that a thread of its own empties in batches."""

import random
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, Generic, TypeVar

from opentelemetry.instrumentation.utils import suppress_instrumentation

from tupletrace.instrumentors.distro.backlog import Backlog, Batch
from tupletrace.instrumentors.distro.notices import Notices
from tupletrace.instrumentors.distro.sender import Outcome
from tupletrace.instrumentors.distro.settings import Limits

T = TypeVar("T")
_UNANSWERED: Final = "no answer before the process ended"
_LONGEST_PAUSE_S: Final = 10.0
"""Between two attempts, each of which the exporter stretches over some seconds itself."""
_chance: Final = random.SystemRandom()
"""The program's own random numbers may follow a seed: none is taken from them."""


class Patience:
    """How long to wait: for so many seconds without an answer, and for so many in all."""

    def __init__(self, quiet_s: float, at_most_s: float) -> None:
        now = monotonic()
        self._quiet_s = quiet_s
        self._until = now + quiet_s
        self._at_most = now + at_most_s

    def left(self) -> float:
        """Return the seconds left, 0 when it has ended."""
        return max(0.0, min(self._until, self._at_most) - monotonic())

    def answered(self) -> None:
        """Begin the quiet seconds again."""
        self._until = monotonic() + self._quiet_s


class Outbox(Generic[T]):
    """Holds what waits for the receiver; what does not fit pushes out the oldest, which is counted and said.

    What a receiver does not take now is sent again, until it is taken, or refused for good, or pushed out.
    The SDK's ``BatchProcessor`` counts items, exports when so many wait or a delay has passed, and holds a
    whole batch while it is being sent: prompts of a megabyte make that gigabytes. Here the bytes of what is
    queued and of what is being sent count, and enough bytes are a reason to send.
    """

    def __init__(
        self,
        what: str,
        send: Callable[[list[T]], Outcome],
        weigh: Callable[[T], int],
        limits: Limits,
        notices: Notices,
    ) -> None:
        self._what, self._send, self._weigh, self._limits, self._notices = what, send, weigh, limits, notices
        self._closed = False
        self._delay_s = limits.delay_s
        self._patience: Patience | None = None
        self.start_anew()
        # In a thread that outlives the main one nothing can be started any more.
        self._start()

    def start_anew(self) -> None:
        """Forget, in a forked child, what the parent will send; the thread starts with the first item."""
        self._locks: dict[str, threading.Condition] = {}
        self._backlog: Backlog[T] = Backlog(self._limits)
        self._setbacks = self._in_a_row = self._goal = 0
        self._thread: threading.Thread | None = None

    def expect_the_end(self) -> None:
        """Send sooner, in a child that may be ended at any time."""
        self._delay_s = self._limits.child_delay_s

    @property
    def _changed(self) -> threading.Condition:
        # Made when first used: a forked worker may patch `threading` for gevent after the fork.
        # Its lock is reentrant: a garbage collection inside `put` may end another span.
        return self._locks.get("changed") or self._locks.setdefault("changed", threading.Condition())

    def put(self, item: T) -> None:
        """Queue an item; never waits for the receiver."""
        size = self._weigh(item)
        if self._thread is None:
            self._start()
        with self._changed:
            if self._closed or self._thread is None:
                return
            self._backlog.add(size, item)
            dropped = self._backlog.make_room()
            if self._is_due() and not self._in_a_row:
                self._changed.notify_all()
        if dropped:
            self._notices.lost(self._what, dropped)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything queued so far is sent or given up; False if it must wait on, or longer."""
        if self._thread is threading.current_thread():
            return False
        with self._changed:
            goal, setbacks = self._backlog.entered, self._setbacks
            self._goal = goal
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._backlog.oldest >= goal or self._setbacks > setbacks, timeout_s
            )
            return self._backlog.oldest >= goal

    def close(self, patience: Patience) -> None:
        """Take nothing more and begin to send the rest; returns at once."""
        with self._changed:
            self._closed = True
            self._patience = patience
            self._changed.notify_all()

    def wait(self, patience: Patience) -> None:
        """Wait for the rest to be sent, while patience lasts; then count what is left as lost."""
        with self._changed:
            while self._backlog and (left := patience.left()):
                self._changed.wait(left)
            unsent = len(self._backlog)
            self._backlog.clear()
        if unsent:
            self._notices.remember(_UNANSWERED, vague=True)
            self._notices.not_taken(self._what, unsent, kept=False)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"tupletrace-{self._what}", daemon=True)
        with self._changed:
            if self._closed or self._thread is not None:
                return
            self._thread = thread
        # Not under the lock, which the thread takes at once.
        try:
            thread.start()
        except RuntimeError:
            self._thread = None

    def _is_awaited(self) -> bool:
        return self._closed or self._backlog.oldest < self._goal

    def _is_due(self) -> bool:
        return self._is_awaited() or self._backlog.is_due()

    def _work(self) -> None:
        with suppress_instrumentation():
            while batch := self._next():
                self._settle(batch, self._attempt([item for _, item in batch.entries]))
                # Nothing of it is held while the next one is waited for.
                del batch

    def _next(self) -> Batch[T] | None:
        with self._changed:
            while True:
                if self._in_a_row:
                    self._changed.wait_for(self._is_awaited, _pause_s(self._in_a_row))
                else:
                    self._changed.wait_for(self._is_due, self._delay_s)
                if batch := self._backlog.take():
                    return batch
                self._in_a_row = 0
                if self._closed:
                    return None

    def _attempt(self, items: list[T]) -> Outcome:
        try:
            outcome = self._send(items)
            if outcome is Outcome.LATER and self._is_patient():
                # A connection may have died unnoticed, and backing off is over: this attempt makes a new one.
                outcome = self._send(items)
        except Exception as error:  # noqa: BLE001 - an exporter may raise anything
            self._notices.remember(f"{type(error).__name__}: {error}")
            # What sockets and HTTP clients raise is about the way, not about what was to be sent.
            return Outcome.LATER if isinstance(error, OSError) else Outcome.REFUSED
        return outcome

    def _is_patient(self) -> bool:
        return self._patience is not None and self._patience.left() > 0

    def _settle(self, batch: Batch[T], outcome: Outcome) -> None:
        with self._changed:
            # At the end `wait` may have counted it already.
            awaited = self._backlog.is_sending(batch)
            kept = outcome is Outcome.LATER and not self._closed and self._backlog.keep()
            lost = 0
            if kept:
                self._in_a_row += 1
                lost = self._backlog.make_room()
            elif outcome is Outcome.SENT:
                self._in_a_row = 0
                self._backlog.accept()
                if self._patience is not None:
                    self._patience.answered()
            else:
                self._in_a_row = 0
                self._backlog.drop()
                lost = len(batch.entries) if awaited else 0
        if outcome is Outcome.SENT:
            self._notices.arrived()
        elif lost or kept:
            self._notices.not_taken(self._what, lost, kept=kept)
        # Who waits for a flush is told that it failed when the log has said why.
        with self._changed:
            if kept:
                self._setbacks += 1
                self._goal = 0
            self._changed.notify_all()


def _pause_s(failures: int) -> float:
    return min(2.0 ** (failures - 1), _LONGEST_PAUSE_S) * _chance.uniform(0.8, 1.2)
