"""The log: one line a minute about a receiver that is missing, and what to do; nothing else is silenced."""

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider

from tupletrace.instrumentors.distro.delivery import QueuedSpanProcessor
from tupletrace.instrumentors.distro.notices import (
    EXPORTER_LOGGERS,
    ExporterFilter,
    Notices,
    take_over_exporter_logs,
)

EXPORTER = "opentelemetry.exporter.otlp.proto.grpc.exporter"


class Clock:
    """A clock that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time by which a minute passes."""
    return Clock()


@pytest.fixture
def span(clock: Clock) -> Iterator[Any]:
    """Make a span and wait until its export to a port that refuses has failed."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        notices = Notices(clock)
        take_over_exporter_logs(notices)
        provider = TracerProvider(shutdown_on_exit=False)
        # With so little time the exporter does not try again.
        provider.add_span_processor(
            QueuedSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=0.5), {}, notices)
        )

        def make() -> None:
            provider.get_tracer("app").start_span("work").end()
            provider.force_flush()

        yield make
        provider.shutdown()
    for name in EXPORTER_LOGGERS:
        logger = logging.getLogger(name)
        for known in [each for each in logger.filters if isinstance(each, ExporterFilter)]:
            logger.removeFilter(known)


def test_a16_a_missing_receiver_is_one_line_a_minute(
    span: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A16. With the cause, the cures and, from then on, the number of spans lost."""
    for _ in range(3):
        span()
    clock.now += 59
    span()
    assert len(caplog.records) == 1
    clock.now += 2
    span()

    first, second = (record.getMessage() for record in caplog.records)
    for said in (first, second):
        assert "Connection refused" in said
        assert "`tupletrace serve`" in said
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in said
        assert "`tupletrace doctor`" in said
    assert "lost so far" in second


@pytest.mark.parametrize(
    ("name", "level", "message"),
    [
        (EXPORTER, logging.ERROR, "Failed to read file: /etc/certificate"),
        (EXPORTER, logging.DEBUG, "Transient error, in detail"),
        ("opentelemetry.exporter.mine", logging.ERROR, "Failed to export spans"),
        ("app", logging.ERROR, "Failed to export the report"),
    ],
)
def test_other_messages_and_other_loggers_pass(
    span: Any, caplog: pytest.LogCaptureFixture, name: str, level: int, message: str
) -> None:
    """Only what OTLP exporters say of failed exports is ours to say."""
    with caplog.at_level(logging.DEBUG, logger=name):
        logging.getLogger(name).log(level, message)

    assert [record.getMessage() for record in caplog.records if record.name == name] == [message]


def test_a_receiver_that_comes_back_takes_the_cause_with_it(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """What is dropped later is not laid at its door."""
    notices = Notices(clock)

    notices.failed("Connection refused")
    notices.arrived()
    clock.now += 61
    notices.lost("spans", 2)

    assert "Connection refused" in caplog.messages[0]
    assert "Connection refused" not in caplog.messages[1]
    assert "more waited for the receiver than the queue holds" in caplog.messages[1]


def test_a_long_cause_is_cut(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An error page of a proxy is not repeated every minute."""
    Notices(clock).failed("x" * 10_000)

    assert len(caplog.messages[0]) < 600
