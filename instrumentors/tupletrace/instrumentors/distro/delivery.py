"""The SDK's seams, with our queue behind them: span processor, log record processor, metric exporter."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from tupletrace.instrumentors.distro.notices import Notices
from tupletrace.instrumentors.distro.outbox import Outbox, Patience
from tupletrace.instrumentors.distro.sender import ForkedDuringCallError, Sender, exporting, succeeded
from tupletrace.instrumentors.distro.settings import Limits, log_limits, span_limits
from tupletrace.instrumentors.distro.weight import log_record_bytes, span_bytes
from tupletrace.instrumentors.firewall import guard

T = TypeVar("T")
_SHUTDOWN_S: Final = 30.0
"""What the SDK allows for a shutdown that the program itself asks for."""
_GRACE_S: Final = 0.05
"""For the thread of a cancelled export to notice."""


class Delivery(Generic[T]):
    """A queue and the exporter that it is sent with."""

    def __init__(
        self,
        what: str,
        exporter: Any,
        arguments: Mapping[str, Any],
        weigh: Callable[[T], int],
        limits: Limits,
        notices: Notices,
    ) -> None:
        self.sender = Sender(exporter, arguments)
        self.outbox: Outbox[T] = Outbox(what, self.sender.send, weigh, limits, notices)

    def hasten(self, patience: Patience) -> None:
        """Begin to send the rest, without retries; returns at once."""
        self.outbox.close(patience)
        self.sender.last_attempts()

    def end(self, patience: Patience) -> None:
        """Send the rest while patience lasts, then shut the exporter down; harmless when repeated."""
        self.outbox.close(patience)
        self.outbox.wait(patience)
        self.sender.shutdown()
        self.outbox.join(_GRACE_S)


class QueuedSpanProcessor(SpanProcessor):
    """What the SDK's ``BatchSpanProcessor`` does, with a queue bounded in bytes."""

    def __init__(self, exporter: SpanExporter, arguments: Mapping[str, Any], notices: Notices) -> None:
        self.delivery = Delivery("spans", exporter, arguments, span_bytes, span_limits(), notices)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span."""
        with guard("queueing a span"):
            if span.context and span.context.trace_flags.sampled:
                self.delivery.outbox.put(span)

    def shutdown(self) -> None:
        """Send what is queued and shut the exporter down."""
        self.delivery.end(Patience(_SHUTDOWN_S, _SHUTDOWN_S))

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Wait until what is queued now has been sent or given up."""
        return self.delivery.outbox.flush(_SHUTDOWN_S if timeout_millis is None else timeout_millis / 1000)


class QueuedLogRecordProcessor(LogRecordProcessor):
    """What the SDK's ``BatchLogRecordProcessor`` does, with a queue bounded in bytes."""

    def __init__(self, exporter: LogRecordExporter, arguments: Mapping[str, Any], notices: Notices) -> None:
        self.delivery = Delivery("log records", exporter, arguments, log_record_bytes, log_limits(), notices)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a log record, unless it is about exporting: that would go round for ever."""
        with guard("queueing a log record"):
            if exporting() is not None:
                return
            # The context may hold much; the exporter has no use for it.
            kept = copy.copy(log_record.log_record)
            kept.context = Context()
            self.delivery.outbox.put(
                ReadableLogRecord(
                    log_record=kept,
                    resource=log_record.resource or Resource.create({}),
                    instrumentation_scope=log_record.instrumentation_scope,
                    limits=log_record.limits,
                )
            )

    def shutdown(self) -> None:
        """Send what is queued and shut the exporter down."""
        self.delivery.end(Patience(_SHUTDOWN_S, _SHUTDOWN_S))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until what is queued now has been sent or given up."""
        return self.delivery.outbox.flush(timeout_millis / 1000)


class GuardedMetricExporter:
    """A metric exporter behind a ``Sender``; the reader that collects the metrics is the SDK's own."""

    def __init__(self, exporter: Any, arguments: Mapping[str, Any], notices: Notices) -> None:
        self.sender = Sender(exporter, arguments)
        self._notices = notices

    def export(self, metrics_data: Any, **kwargs: Any) -> Any:
        """Export, but not while the process forks."""
        try:
            result = self.sender.export(metrics_data, **kwargs)
        except ForkedDuringCallError:
            return MetricExportResult.FAILURE
        if not succeeded(result):
            # Not kept: the next collection holds the totals again.
            self._notices.not_taken("metrics", 0, kept=False)
        return result

    def shutdown(self, **kwargs: Any) -> None:
        """Shut the exporter down; an export under way is cancelled."""
        self.sender.shutdown(**kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sender.exporter, name)
