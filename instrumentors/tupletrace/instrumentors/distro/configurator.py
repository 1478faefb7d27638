"""The SDK's own configurator, with queues, exit and log lines fit for somebody else's process."""

import logging
from collections.abc import Callable, Mapping
from os import environ
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.sdk._configuration import _OTelSDKConfigurator  # pyright: ignore[reportPrivateUsage]
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from tupletrace.instrumentors.distro.delivery import (
    GuardedMetricExporter,
    QueuedLogRecordProcessor,
    QueuedSpanProcessor,
)
from tupletrace.instrumentors.distro.ids import SystemIdGenerator
from tupletrace.instrumentors.distro.leaving import Leaving
from tupletrace.instrumentors.distro.notices import Notices, take_over_exporter_logs
from tupletrace.instrumentors.distro.settings import exit_seconds
from tupletrace.instrumentors.firewall import guard

_logger: Final = logging.getLogger("tupletrace")
_HTTP: Final = "otlp_proto_http"
_CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
"""Named here: the SDK's own constant is younger than the oldest SDK supported."""
ExporterArguments = Mapping[type[Any], Mapping[str, Any]]


class TupletraceConfigurator(_OTelSDKConfigurator):
    """Configure the SDK from the environment, as its own configurator does.

    What differs: queues bounded in bytes, a bounded exit, forked children that deliver, one log line a
    minute about a missing receiver, ids from the operating system. With ``OTEL_CONFIG_FILE`` the processors
    are those of the file, and only the ids are ours.
    """

    def _configure(self, **kwargs: Any) -> None:
        try:
            self._configure_sdk(kwargs)
        except Exception as error:  # noqa: BLE001 - whatever the environment says, the program runs
            text = f"{type(error).__name__}: {error}"
            cure = "; pip install opentelemetry-exporter-otlp-proto-http" if _HTTP in text else ""
            _logger.warning("tupletrace: no telemetry, the SDK cannot be configured (%s)%s", text, cure)

    def _configure_sdk(self, kwargs: dict[str, Any]) -> None:
        if environ.get(_CONFIG_FILE):
            super()._configure(**kwargs)
        else:
            arguments: ExporterArguments = kwargs.get("exporter_args_map") or {}
            notices = Notices()
            leaving = Leaving(exit_seconds(), notices)
            spans = _queued(QueuedSpanProcessor, BatchSpanProcessor, leaving, arguments, notices)
            logs = _queued(QueuedLogRecordProcessor, BatchLogRecordProcessor, leaving, arguments, notices)
            kwargs.setdefault("export_span_processor", spans)
            kwargs.setdefault("export_log_record_processor", logs)
            super()._configure(**kwargs)
            with guard("preparing the exit"):
                _guard_metrics(leaving, arguments, notices)
                take_over_exporter_logs(notices)
                leaving.arm()
        with guard("replacing the id generator"):
            _replace_ids()


def _queued(
    ours: type[Any], standard: type[Any], leaving: Leaving, arguments: ExporterArguments, notices: Notices
) -> Callable[..., Any]:
    def processor(exporter: Any, *_: Any, **__: Any) -> Any:
        with guard(f"the queue of {ours.__name__}"):
            queued = ours(exporter, arguments.get(type(exporter), {}), notices)
            leaving.deliveries.append(queued.delivery)
            return queued
        return standard(exporter)

    return processor


def _guard_metrics(leaving: Leaving, arguments: ExporterArguments, notices: Notices) -> None:
    provider = metrics.get_meter_provider()
    if not isinstance(provider, MeterProvider):
        return
    leaving.meter_provider = provider
    # The configurator takes no metric reader of ours; a reader's exporter is exchanged before its first use.
    for reader in list(getattr(MeterProvider, "_all_metric_readers", ())):
        exporter = getattr(reader, "_exporter", None)
        if exporter is not None:
            guarded = GuardedMetricExporter(exporter, arguments.get(type(exporter), {}), notices)
            reader._exporter = guarded
            leaving.metrics.append(guarded)


def _replace_ids() -> None:
    provider = trace.get_tracer_provider()
    # One that OTEL_PYTHON_ID_GENERATOR names stays.
    if isinstance(provider, TracerProvider) and type(provider.id_generator) is RandomIdGenerator:
        provider.id_generator = SystemIdGenerator()
