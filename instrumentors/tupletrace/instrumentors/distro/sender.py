"""An exporter that survives forks: none of its exports runs while the process forks."""

import contextlib
import enum
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final

_OTLP: Final = "opentelemetry.exporter.otlp.proto."
_OTLP_GRPC: Final = "opentelemetry.exporter.otlp.proto.grpc."
_ABORT_WAIT_S: Final = 0.5
_exporting: Final[ContextVar["Sender | None"]] = ContextVar("tupletrace_exporting", default=None)


class Outcome(enum.Enum):
    """What became of an export."""

    SENT = enum.auto()
    LATER = enum.auto()
    """Not now: the same may be taken when it is tried again."""
    REFUSED = enum.auto()


class ForkedDuringCallError(Exception):
    """Raised in a forked child where gRPC would hang or crash."""

    def __init__(self) -> None:
        super().__init__(
            "gRPC was at work, or its fork support off, when this process was forked, and cannot be used "
            "in it; OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf can"
        )


class Sender:
    """Calls one exporter, one export at a time, and lets no fork happen during one.

    A child forked while gRPC is at work can never use gRPC again, so a fork waits for the export under way,
    or breaks it off; the export is then made again, and a receiver may see it twice.
    """

    def __init__(self, exporter: Any, arguments: Mapping[str, Any]) -> None:
        self._exporter = exporter
        module = type(exporter).__module__
        self._is_grpc = module.startswith(_OTLP_GRPC)
        # Any other exporter may not be ours to make twice.
        self._make: Callable[[], Any] | None = None
        if module.startswith(_OTLP):
            self._make = lambda: type(exporter)(**arguments)
        self._stale = self._broken_off = self._closed = self._unusable = False
        self._inherited: list[Any] = []
        self.refused = False
        """Whether the failure of the export under way is final; said by who reads the exporter's log."""
        self._unlock()

    @property
    def exporter(self) -> Any:
        """The exporter now in use."""
        return self._exporter

    def send(self, data: Any) -> Outcome:
        """Export and say what became of it."""
        if succeeded(self.export(data)):
            return Outcome.SENT
        # The failure of an exporter means: drop it. OTLP's says it also where it only stopped trying.
        return Outcome.REFUSED if self.refused or self._make is None else Outcome.LATER

    def export(self, data: Any, **kwargs: Any) -> Any:
        """Return the exporter's result; an export that a fork breaks off is made again."""
        if self._unusable:
            raise ForkedDuringCallError
        while True:
            self._may_go.wait()
            with self._busy:
                self._renew()
                self._broken_off = False
                try:
                    result = self._call(data, kwargs)
                except Exception:
                    if not self._broken_off or self._closed:
                        raise
                    continue
                if succeeded(result) or not self._broken_off or self._closed:
                    return result

    def last_attempts(self) -> None:
        """Make every export under way, or yet to come, give up after one attempt instead of backing off."""
        # The exporters have no other way to say so; without these events they retry until they are shut down.
        for holder in (self._exporter, getattr(self._exporter, "_client", None)):
            for name in ("_shutdown_in_progress", "_shutdown_event"):
                event = getattr(holder, name, None)
                if isinstance(event, threading.Event):
                    event.set()

    def shutdown(self, **kwargs: Any) -> None:
        """Shut the exporter down; an export under way is cancelled."""
        if not self._closed:
            self._closed = True
            if not self._unusable:
                self._exporter.shutdown(**kwargs)

    def pause(self, until: float) -> None:
        """Return once no export is under way: one that is not done at ``until`` is broken off."""
        self._may_go.clear()
        paused = self._busy.acquire(timeout=max(0.0, until - monotonic()))
        if not paused and self._make is not None and not self._closed:
            self._broken_off = self._stale = True
            with contextlib.suppress(Exception):
                self._exporter.shutdown()
            paused = self._busy.acquire(timeout=_ABORT_WAIT_S)
        if paused:
            self._paused_by = threading.get_ident()
            # Before the fork: a child can use a channel that it inherits, but not always make one.
            self._renew()

    def resume(self) -> None:
        """Let exports go on after a fork that this thread made."""
        if self._paused_by == threading.get_ident():
            self._paused_by = None
            self._busy.release()
        self._may_go.set()

    def start_anew(self, *, grpc_was_idle: bool) -> None:
        """Forget, in a forked child, what the parent's threads were doing."""
        if self._is_grpc:
            self._unusable = self._unusable or self._paused_by is None or not grpc_was_idle
        else:
            # A connection must not be shared with the parent.
            self._stale = self._make is not None
        self._unlock()

    def _unlock(self) -> None:
        self._busy = threading.Lock()
        self._may_go = threading.Event()
        self._may_go.set()
        self._paused_by: int | None = None

    def _call(self, data: Any, kwargs: Mapping[str, Any]) -> Any:
        token = _exporting.set(self)
        self.refused = False
        try:
            return self._exporter.export(data, **kwargs)
        finally:
            _exporting.reset(token)

    def _renew(self) -> None:
        if self._stale and self._make is not None and not self._closed:
            # Kept: closing connections that the parent uses is not for a child.
            self._inherited.append(self._exporter)
            with contextlib.suppress(Exception):
                self._exporter = self._make()
                self._stale = False


def succeeded(result: object) -> bool:
    """Say whether an exporter's result, of whichever signal, is not ``FAILURE``."""
    return getattr(result, "name", None) != "FAILURE"


def exporting() -> Sender | None:
    """Return the sender that the caller is inside of."""
    return _exporting.get()
