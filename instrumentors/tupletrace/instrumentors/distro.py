"""Defaults for ``opentelemetry-instrument``: OTLP over gRPC to localhost, where the environment is silent."""

from importlib.metadata import EntryPoint
from os import environ
from random import SystemRandom
from typing import Any, Final

from opentelemetry.environment_variables import (
    OTEL_LOGS_EXPORTER,
    OTEL_METRICS_EXPORTER,
    OTEL_TRACES_EXPORTER,
)
from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.sdk._configuration import _OTelSDKConfigurator  # pyright: ignore[reportPrivateUsage]
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_PROTOCOL
from opentelemetry.sdk.trace.id_generator import IdGenerator

from tupletrace.instrumentors.firewall import guard

_random: Final = SystemRandom()


class SystemIdGenerator(IdGenerator):
    """Ids from the operating system, so that a program that calls ``random.seed()`` does not repeat them."""

    def generate_span_id(self) -> int:
        """Return 64 random bits, not all zero."""
        return _random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """Return 128 random bits, not all zero."""
        return _random.getrandbits(128) or 1


class TupletraceConfigurator(_OTelSDKConfigurator):
    """The SDK's own configurator, with ids that do not follow the user's random seed."""

    def _configure(self, **kwargs: Any) -> None:
        kwargs.setdefault("id_generator", SystemIdGenerator())
        super()._configure(**kwargs)


class TupletraceDistro(BaseDistro):
    """Send traces, metrics and logs to ``localhost:4317`` unless the environment says otherwise."""

    def _configure(self, **kwargs: Any) -> None:
        for variable in (OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER, OTEL_LOGS_EXPORTER):
            environ.setdefault(variable, "otlp")
        environ.setdefault(OTEL_EXPORTER_OTLP_PROTOCOL, "grpc")

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Load one instrumentor; if ours cannot be, the program runs on and the others load."""
        if entry_point.value.startswith("tupletrace."):
            with guard(f"loading {entry_point.name}"):
                super().load_instrumentor(entry_point, **kwargs)
        else:
            super().load_instrumentor(entry_point, **kwargs)
