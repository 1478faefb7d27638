"""The log: one line a minute about a receiver that is missing, and what to do; nothing else is silenced."""

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider

from tupletrace.instrumentors.distro.delivery import QueuedSpanProcessor
from tupletrace.instrumentors.distro.notices import Notices

EXPORTER = "opentelemetry.exporter.otlp.proto.grpc.exporter"


@pytest.fixture
def span(notices: Notices) -> Iterator[Any]:
    """Make a span and wait until its export to a port that refuses has failed."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
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


def test_a16_a_missing_receiver_is_one_line_a_minute(
    span: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A16. With the cause, the cures, and that nothing is lost yet."""
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
        assert "it waits in memory" in said
        assert "lost" not in said


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
    clock: Any, caplog: pytest.LogCaptureFixture
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


def test_a_long_cause_is_cut(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An error page of a proxy is not repeated every minute."""
    Notices(clock).failed("x" * 10_000)

    assert len(caplog.messages[0]) < 600


def test_a_loss_is_said_at_the_end_however_little_time_has_passed(
    clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the total and its cause; a child that ends leaves it to the minute."""
    notices = Notices(clock)
    notices.not_taken("spans", 0, kept=True)
    notices.remember("Connection refused")
    for number in (2, 3):
        notices.not_taken("spans", number, kept=False)
    notices.arrived()

    notices.hold()
    notices.release(at_last=False)
    assert len(caplog.messages) == 1
    for _ in range(2):
        notices.hold()
        notices.release(at_last=True)

    (_, last) = caplog.messages
    assert "(Connection refused)" in last
    assert "lost so far: 5 spans" in last
    assert "waits" not in last
