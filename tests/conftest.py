"""What every test shares: spans in memory, and errors of ours raised instead of swallowed."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

os.environ["TUPLETRACE_RAISE_ERRORS"] = "1"
# For the exporters of the tests themselves: a busy machine is not a receiver that is away.
os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "60"
# A shell that starts the tests in the background has Ctrl-C ignored, by the programs under test too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A deadline measures the machine and its other tenants, and the same examples fail or pass everywhere;
# `--hypothesis-profile=explore` looks for new ones.
quiet = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", quiet)
settings.register_profile("tupletrace", quiet, derandomize=True)
settings.load_profile("tupletrace")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Finished spans of this test, in the order in which they ended."""
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.clear()


@pytest.fixture
def tracer_provider(spans: InMemorySpanExporter) -> TracerProvider:
    """A provider whose finished spans arrive in ``spans`` at once."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider
