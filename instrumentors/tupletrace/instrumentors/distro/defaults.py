"""Defaults for ``opentelemetry-instrument``: OTLP over gRPC to localhost, where the environment is silent."""

from importlib.metadata import EntryPoint
from os import environ
from typing import Any

from opentelemetry.environment_variables import (
    OTEL_LOGS_EXPORTER,
    OTEL_METRICS_EXPORTER,
    OTEL_TRACES_EXPORTER,
)
from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.instrumentation.environment_variables import OTEL_PYTHON_CONFIGURATOR
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_PROTOCOL

from tupletrace.instrumentors.firewall import guard


class TupletraceDistro(BaseDistro):
    """Send traces, metrics and logs to ``localhost:4317`` unless the environment says otherwise."""

    def _configure(self, **kwargs: Any) -> None:
        for variable in (OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER, OTEL_LOGS_EXPORTER):
            environ.setdefault(variable, "otlp")
        environ.setdefault(OTEL_EXPORTER_OTLP_PROTOCOL, "grpc")
        # Another installed distro's configurator may stand first in the list.
        environ.setdefault(OTEL_PYTHON_CONFIGURATOR, "tupletrace")

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Load one instrumentor; if ours cannot be, the program runs on and the others load."""
        if entry_point.value.startswith("tupletrace."):
            with guard(f"loading {entry_point.name}"):
                super().load_instrumentor(entry_point, **kwargs)
        else:
            super().load_instrumentor(entry_point, **kwargs)
