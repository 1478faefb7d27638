"""A queue bounded in bytes that a thread of its own empties in batches."""

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final, Generic, TypeVar

from opentelemetry.instrumentation.utils import suppress_instrumentation

from tupletrace.instrumentors.distro.notices import Notices
from tupletrace.instrumentors.distro.settings import Limits

T = TypeVar("T")
_UNANSWERED: Final = "no answer before the process ended"


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

    The SDK's ``BatchProcessor`` counts items, exports when so many wait or a delay has passed, and holds a
    whole batch while it is being sent: prompts of a megabyte make that gigabytes. Here the bytes of what is
    queued and of what is being sent count, and enough bytes are a reason to send.
    """

    def __init__(
        self,
        what: str,
        send: Callable[[list[T]], bool],
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
        self._items: deque[tuple[int, T]] = deque()
        self._waiting = self._sending = 0
        self._entered = self._gone = self._goal = 0
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
        entry = (self._weigh(item), item)
        if self._thread is None:
            self._start()
        with self._changed:
            if self._closed or self._thread is None:
                return
            self._items.append(entry)
            self._waiting += entry[0]
            self._entered += 1
            dropped = self._make_room()
            if self._is_due():
                self._changed.notify_all()
        if dropped:
            self._notices.lost(self._what, dropped)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything queued so far is sent or given up; False if that takes longer."""
        if self._thread is threading.current_thread():
            return False
        with self._changed:
            goal = self._entered
            self._goal = max(self._goal, goal)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._gone >= goal, timeout_s)

    def close(self, patience: Patience) -> None:
        """Take nothing more and begin to send the rest; returns at once."""
        with self._changed:
            self._closed = True
            self._patience = patience
            self._changed.notify_all()

    def wait(self, patience: Patience) -> None:
        """Wait for the rest to be sent, while patience lasts; then count what is left as lost."""
        with self._changed:
            while self._gone < self._entered and (left := patience.left()):
                self._changed.wait(left)
            unsent = self._entered - self._gone
            self._gone = self._entered
            self._items.clear()
        if unsent:
            self._notices.remember(_UNANSWERED, vague=True)
            self._notices.lost(self._what, unsent)

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

    def _is_due(self) -> bool:
        return (
            self._closed
            or self._gone < self._goal
            or self._waiting >= self._limits.batch_bytes
            or len(self._items) >= self._limits.batch_items
        )

    def _make_room(self) -> int:
        dropped = 0
        while self._items and (
            self._waiting + self._sending > self._limits.queue_bytes
            or len(self._items) > self._limits.queue_items
        ):
            size, _ = self._items.popleft()
            self._waiting -= size
            dropped += 1
        self._gone += dropped
        return dropped

    def _work(self) -> None:
        with suppress_instrumentation():
            while batch := self._next():
                count, sent = len(batch), self._attempt(batch)
                del batch
                self._settle(count, sent)

    def _next(self) -> list[T]:
        with self._changed:
            while True:
                self._changed.wait_for(self._is_due, self._delay_s)
                if self._items:
                    return self._take()
                if self._closed:
                    return []

    def _take(self) -> list[T]:
        batch: list[T] = []
        size = 0
        while self._items and len(batch) < self._limits.batch_items:
            if batch and size + self._items[0][0] > self._limits.batch_bytes:
                break
            weight, item = self._items.popleft()
            size += weight
            batch.append(item)
        self._waiting -= size
        self._sending = size
        return batch

    def _attempt(self, batch: list[T]) -> bool:
        try:
            # A connection may have died unnoticed, and backing off is over: the next attempt makes a new one.
            return self._send(batch) or (self._is_patient() and self._send(batch))
        except Exception as error:  # noqa: BLE001 - an exporter may raise anything
            self._notices.failed(f"{type(error).__name__}: {error}")
            return False

    def _is_patient(self) -> bool:
        return self._patience is not None and self._patience.left() > 0

    def _settle(self, count: int, sent: bool) -> None:
        if sent:
            self._notices.arrived()
        elif self._gone < self._entered:
            self._notices.lost(self._what, count)
        with self._changed:
            self._sending = 0
            self._gone = min(self._gone + count, self._entered)
            if sent and self._patience is not None:
                self._patience.answered()
            self._changed.notify_all()
