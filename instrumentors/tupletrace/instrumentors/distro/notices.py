"""What the log says about telemetry that does not arrive: one line a minute at most, and what to do."""

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Final

from tupletrace.instrumentors.distro.sender import exporting

_logger: Final = logging.getLogger("tupletrace")
_INTERVAL_S: Final = 60.0
_LONGEST_CAUSE: Final = 300
EXPORTER_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.common.http",
)
"""The loggers on which the OTLP exporters of 1.40 to 1.45 report a failed export."""
_FINAL: Final = ("Failed to export", "Failed to encode", "Dropping ")
_PASSING: Final = (
    "Transient error",
    "Shutdown in progress",
    "Exporter already shutdown",
    "OTLP client already",
)
_LATER: Final = frozenset(
    {
        *("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"),
        # Without RetryInfo it would be the last word, but exporters do not say whether that came.
        "RESOURCE_EXHAUSTED",
        *(429, 502, 503, 504),
    }
)
"""The answers, of gRPC and of HTTP, after which the OTLP specification lets a client try again."""
_RETRYING: Final = re.compile(r", retrying in [0-9.]+s")
_NO_REASON: Final = "the exporter does not say why"
_BROKEN_OFF: Final = "Channel closed"
"""In gRPC's words for a call that our own side ended."""


class Notices:
    """Remembers what was lost and why, and says it."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lost: Counter[str] = Counter()
        self._said = 0
        self._cause = ""
        self._next = 0.0
        self._saying = threading.Lock()
        self._held = self._unsaid = self._kept = False

    def failed(self, cause: str, *, vague: bool = False) -> None:
        """Say that an export failed, and why."""
        self.remember(cause, vague=vague)
        self._kept = False
        self._say()

    def remember(self, cause: str, *, vague: bool = False) -> None:
        """Keep the reason of a failure; a vague one does not replace one that is known."""
        if not (vague and self._cause):
            self._cause = cause if len(cause) <= _LONGEST_CAUSE else cause[:_LONGEST_CAUSE] + "..."

    def lost(self, what: str, count: int) -> None:
        """Count what was dropped or could not be sent, and say it."""
        self._lost[what] += count
        self._say()

    def not_taken(self, what: str, lost: int, *, kept: bool) -> None:
        """Say that an export failed, for the reason remembered; ``kept`` if it will be tried again."""
        self.remember(_NO_REASON, vague=True)
        self._lost[what] += lost
        self._kept = kept
        self._say()

    def arrived(self) -> None:
        """Forget the reason of earlier failures, unless it has yet to be said of what they lost."""
        if self._said == self._lost.total():
            self._cause = ""

    def hold(self) -> None:
        """Say nothing until ``release``: at its end a process speaks once, when all is known."""
        self._held = True

    def release(self, *, at_last: bool) -> None:
        """Say what was held back; at last, also what was lost since the log last said how much."""
        self._held = False
        if at_last and self._said < self._lost.total():
            self._next = 0.0
            self._unsaid, self._kept = True, False
        if self._unsaid:
            self._unsaid = False
            self._say()

    def start_anew(self) -> None:
        """Forget, in a forked child, what the parent lost; not when it last spoke."""
        self._saying = threading.Lock()
        self._lost.clear()
        self._said = 0

    def _say(self) -> None:
        if self._held:
            self._unsaid = True
            return
        now = self._clock()
        if now < self._next or not self._saying.acquire(blocking=False):
            return
        try:
            self._next = now + _INTERVAL_S
            self._said = self._lost.total()
            _logger.warning("%s", self._text())
        finally:
            self._saying.release()

    def _text(self) -> str:
        lost = ", ".join(
            f"{count} {what[: -1 if count == 1 else None]}" for what, count in self._lost.items() if count
        )
        if not self._cause:
            return (
                f"tupletrace: more waited for the receiver than the queue holds; lost so far: {lost}. "
                "TUPLETRACE_MAX_QUEUE_BYTES enlarges it"
            )
        return (
            f"tupletrace: telemetry does not arrive ({self._cause}). `tupletrace serve` starts a receiver, "
            "OTEL_EXPORTER_OTLP_ENDPOINT names another, `tupletrace doctor` looks for the cause"
            + ("; until it does, it waits in memory" if self._kept else "")
            + (f"; lost so far: {lost}" if lost else "")
        )


class ExporterFilter(logging.Filter):
    """Takes from an exporter's logger what it says of failed exports; everything else passes."""

    def __init__(self, notices: Notices) -> None:
        super().__init__()
        self._notices = notices

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a message that ``Notices`` says instead."""
        template = str(record.msg)
        if record.levelno < logging.WARNING or not template.startswith(_FINAL + _PASSING):
            return True
        message = _RETRYING.sub("", record.getMessage())
        if _BROKEN_OFF in message:
            return False
        sender = exporting()
        if template.startswith(_FINAL):
            vague = "max retries" in template
            if sender is None:
                self._notices.failed(message, vague=vague)
            else:
                sender.refused = _is_last_word(record)
                self._notices.remember(message, vague=vague)
        elif template.startswith("Transient error"):
            self._notices.remember(message)
        return False


def take_over_exporter_logs(notices: Notices) -> None:
    """Let ``notices`` speak for the OTLP exporters' loggers."""
    for name in EXPORTER_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, ExporterFilter) for known in logger.filters):
            # Before the exporters' own, which drop what they heard before.
            logger.filters.insert(0, ExporterFilter(notices))


def _is_last_word(record: logging.LogRecord) -> bool:
    if not str(record.msg).startswith("Failed to export"):
        return True
    for given in record.args if isinstance(record.args, tuple) else ():
        answer = given if isinstance(given, int) else getattr(given, "name", None)
        if answer is not None:
            return answer not in _LATER
    # No answer came.
    return False
