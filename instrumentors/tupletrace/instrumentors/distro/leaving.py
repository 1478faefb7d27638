"""How the process ends: a bounded wait for what is not yet sent, also in children that skip ``atexit``."""

import atexit
import contextlib
import os
import signal
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any, Final

import wrapt
from opentelemetry.sdk.metrics import MeterProvider

from tupletrace.instrumentors.distro.delivery import Delivery, GuardedMetricExporter
from tupletrace.instrumentors.distro.forks import ForkWatch
from tupletrace.instrumentors.distro.notices import Notices
from tupletrace.instrumentors.distro.outbox import Patience
from tupletrace.instrumentors.firewall import guard

_MULTIPROCESSING: Final = ("multiprocessing.util", "billiard.util")
"""The standard library's, and Celery's version of it."""
_CHILD_SHARE: Final = 0.5
"""Of the time that an exit may wait, for a forked child: its parent waits for it."""
_GRACE_S: Final = 0.1
"""Of the whole, for cancelling what was not answered."""
_LONGEST: Final = 5
"""A receiver that goes on answering is waited for this many times longer than one that does not."""


class Leaving:
    """Ends every delivery of this process within a bounded time, on whichever way out Python lets us run.

    That is: the main thread's end, ``sys.exit``, an unhandled exception, Ctrl-C, ``os._exit`` in a forked
    child, which is how such children end, and ``signal.raise_signal(SIGTERM)``, which is how uvicorn ends
    after its own shutdown. ``os._exit`` of the first process means at once; ``SIGKILL`` and a ``SIGTERM``
    from outside, without a handler, leave no chance.
    """

    def __init__(self, seconds: float, notices: Notices) -> None:
        self._seconds = seconds
        self._notices = notices
        self._forked = False
        self.deliveries: list[Delivery[Any]] = []
        self.metrics: list[GuardedMetricExporter] = []
        self.meter_provider: MeterProvider | None = None

    def arm(self) -> None:
        """Register for every way out; called after the SDK has registered, so as to run before it."""
        atexit.register(self.at_exit)
        wrapt.wrap_function_wrapper(signal, "raise_signal", self._before_signal)
        senders = [part.sender for part in (*self.deliveries, *self.metrics)]
        ForkWatch(senders, self._in_child).begin()
        for module in _MULTIPROCESSING:
            wrapt.register_post_import_hook(self._watch_children, module)

    def at_exit(self) -> None:
        """Send what is left, traces, logs and metrics at the same time."""
        with self._bounded("sending at exit", at_last=True):
            patience = self._hasten(self._seconds)
            for exporter in self.metrics:
                exporter.sender.last_attempts()
            self._end_metrics(patience)
            self._end(patience)

    def at_child_end(self) -> None:
        """Send the spans and log records of a forked child; its metrics would repeat its parent's."""
        with self._bounded("sending at a child's end", at_last=False):
            self._end(self._hasten(self._seconds * _CHILD_SHARE))

    @contextlib.contextmanager
    def _bounded(self, what: str, *, at_last: bool) -> Generator[None]:
        self._notices.hold()
        # Ctrl-C means: do not wait.
        with guard(what), contextlib.suppress(KeyboardInterrupt):
            yield
        with guard(what), contextlib.suppress(KeyboardInterrupt):
            self._end(Patience(0, 0))
        self._notices.release(at_last=at_last)

    def _hasten(self, seconds: float) -> Patience:
        patience = Patience(max(0.0, seconds - _GRACE_S), seconds * _LONGEST)
        for delivery in self.deliveries:
            delivery.hasten(patience)
        return patience

    def _end(self, patience: Patience) -> None:
        for delivery in self.deliveries:
            delivery.end(patience)

    def _end_metrics(self, patience: Patience) -> None:
        provider = self.meter_provider
        if provider is None or getattr(provider, "_shutdown", False):
            return
        atexit.unregister(provider.shutdown)
        # It raises for a reader that did not finish in time.
        with contextlib.suppress(Exception):
            provider.shutdown(timeout_millis=max(1.0, patience.left() * 1000))

    def _in_child(self) -> None:
        if not self._forked:
            self._forked = True
            wrapt.wrap_function_wrapper(os, "_exit", self._before_exit)
        self._notices.start_anew()
        for delivery in self.deliveries:
            delivery.outbox.start_anew()

    def _before_exit(
        self, wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        self.at_child_end()
        return wrapped(*args, **kwargs)

    def _before_signal(
        self, wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if args and args[0] == signal.SIGTERM and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self.at_exit()
        return wrapped(*args, **kwargs)

    def _watch_children(self, util: ModuleType) -> None:
        # Their parent may end them at any time.
        def child_starts(leaving: "Leaving") -> None:
            for delivery in leaving.deliveries:
                delivery.outbox.expect_the_end()

        util.register_after_fork(self, child_starts)
