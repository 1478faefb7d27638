"""What every test shares: spans in memory, and errors of ours raised instead of swallowed."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

os.environ["TUPLETRACE_RAISE_ERRORS"] = "1"
# A shell that starts the tests in the background has Ctrl-C ignored, by the programs under test too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A deadline measures the machine and its other tenants.
settings.register_profile("tupletrace", deadline=None)
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
