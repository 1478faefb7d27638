"""The queue: bounded in bytes, the oldest dropped and counted, sent in requests that receivers accept."""

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import Tracer

from tupletrace.instrumentors.distro.delivery import QueuedLogRecordProcessor, QueuedSpanProcessor
from tupletrace.instrumentors.distro.notices import Notices

NEVER_MS = "100000000"


class Exporter(SpanExporter):
    """Keeps the names it was given, batch by batch; can be held, and told to fail."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.entered = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.results: list[SpanExportResult | Exception] = []
        self.traced: bool | None = None

    @property
    def names(self) -> list[str]:
        """The names in the order of their arrival."""
        return [name for batch in self.batches for name in batch]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.go.wait()
        self.traced = is_instrumentation_enabled()
        result = self.results.pop(0) if self.results else SpanExportResult.SUCCESS
        if isinstance(result, Exception):
            raise result
        if result is SpanExportResult.SUCCESS:
            self.batches.append([span.name for span in spans])
        return result


class Application:
    """A provider with our processor before an exporter."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.exporter = Exporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(QueuedSpanProcessor(self.exporter, {}, Notices()))
        self.tracer: Tracer = self.provider.get_tracer("app")

    def span(self, name: str, **attributes: Any) -> None:
        """Make one span."""
        self.tracer.start_span(name, attributes=attributes).end()

    def hold_a_batch(self) -> None:
        """Return when the exporter is in the middle of sending a span named `in flight`."""
        self.exporter.go.clear()
        self.span("in flight", text="x" * 2_000_000)
        assert self.exporter.entered.wait(30)


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Application]]:
    """Make an application whose queue sends for no other reason than its size."""
    made: list[Application] = []
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", NEVER_MS)

    def make(sampler: Sampler = ALWAYS_ON, **environment: str) -> Application:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        made.append(Application(sampler))
        return made[-1]

    yield make
    for each in made:
        each.exporter.go.set()
        each.provider.shutdown()


def test_a16_the_oldest_are_dropped_when_more_waits_than_the_queue_may_hold(
    application: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A16. What is being sent counts; the drop is said once a minute, with the number."""
    app = application(TUPLETRACE_MAX_QUEUE_BYTES="3_000_000")
    app.hold_a_batch()

    for number in range(20):
        app.span(f"span {number}", text="x" * 100_000)
    app.exporter.go.set()
    app.provider.force_flush()

    kept = app.exporter.names
    assert kept[0] == "in flight"
    assert kept[1:] == [f"span {number}" for number in range(21 - len(kept), 20)]
    assert 5 <= len(kept) < 11
    (said,) = [record.getMessage() for record in caplog.records if record.name == "tupletrace"]
    assert "lost so far: 1 span." in said
    assert "TUPLETRACE_MAX_QUEUE_BYTES" in said


def test_a_span_larger_than_the_whole_queue_is_dropped_alone(application: Any) -> None:
    """The next ones pass."""
    app = application(TUPLETRACE_MAX_QUEUE_BYTES="1_000_000")

    app.span("giant", text="x" * 2_000_000)
    app.span("small")
    app.provider.force_flush()

    assert app.exporter.names == ["small"]


def test_what_nested_values_and_events_hold_counts(application: Any) -> None:
    """Text is found in sequences of an attribute and in events."""
    app = application(TUPLETRACE_MAX_QUEUE_BYTES="1_000_000")

    app.span("sequence", texts=["x" * 600_000, "y" * 600_000])
    span = app.tracer.start_span("event")
    span.add_event("message", {"text": "x" * 1_200_000})
    span.end()
    app.provider.force_flush()

    assert app.exporter.names == []


def test_enough_bytes_are_a_reason_to_send(application: Any) -> None:
    """A healthy receiver gets large prompts at once, not when 512 of them wait."""
    app = application()

    for number in range(3):
        app.span(f"span {number}", text="x" * 1_000_000)

    assert app.exporter.entered.wait(30)


def test_a_request_holds_no_more_than_two_megabytes_unless_one_span_does(application: Any) -> None:
    """gRPC receivers accept 4 MiB."""
    app = application()
    app.hold_a_batch()

    for number in range(6):
        app.span(f"span {number}", text="x" * 900_000)
    app.exporter.go.set()
    app.provider.force_flush()

    assert app.exporter.batches == [
        ["in flight"],
        ["span 0", "span 1"],
        ["span 2", "span 3"],
        ["span 4", "span 5"],
    ]


def test_the_sdks_batch_variables_apply(application: Any) -> None:
    """`OTEL_BSP_MAX_EXPORT_BATCH_SIZE` is a reason to send and a request's size."""
    app = application(OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2", OTEL_BSP_MAX_QUEUE_SIZE="3")
    app.hold_a_batch()

    for number in range(5):
        app.span(f"span {number}")
    app.exporter.go.set()
    app.provider.force_flush()

    assert app.exporter.batches == [["in flight"], ["span 2", "span 3"], ["span 4"]]


def test_the_schedule_delay_applies(application: Any) -> None:
    """`OTEL_BSP_SCHEDULE_DELAY`, in milliseconds."""
    app = application(OTEL_BSP_SCHEDULE_DELAY="1")

    app.span("alone")

    assert app.exporter.entered.wait(30)


def test_a_number_that_cannot_be_used_is_said_and_the_default_used(
    application: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The program runs."""
    app = application(TUPLETRACE_MAX_QUEUE_BYTES="64 MB", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="-1")

    app.span("work")
    app.provider.force_flush()

    assert app.exporter.names == ["work"]
    assert [record.getMessage() for record in caplog.records] == [
        "tupletrace: TUPLETRACE_MAX_QUEUE_BYTES=64 MB is not a number of at least 1; 64000000 is used",
        "tupletrace: OTEL_BSP_MAX_EXPORT_BATCH_SIZE=-1 is not a number of at least 1; 512 is used",
    ]


def test_a_flush_returns_when_its_time_is_over(application: Any) -> None:
    """And says so; the spans stay queued."""
    app = application()
    app.hold_a_batch()

    assert app.provider.force_flush(10) is False
    app.exporter.go.set()
    assert app.provider.force_flush() is True


def test_spans_that_are_not_sampled_are_not_sent(application: Any) -> None:
    """As by the SDK's own processor."""
    app = application(sampler=ALWAYS_OFF)

    app.span("work")
    app.provider.force_flush()

    assert app.exporter.names == []


def test_a_failed_export_is_counted_and_the_next_one_is_made(
    application: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What the exporter cannot encode, and what one of somebody else's gives up, is not tried again."""
    app = application()
    app.exporter.results = [ValueError("no such type"), SpanExportResult.FAILURE]

    for name in ("first", "second", "third"):
        app.span(name)
        app.provider.force_flush()

    assert app.exporter.names == ["third"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "ValueError: no such type" in said
    assert "lost so far: 1 span" in said


def test_what_finds_no_way_is_kept_and_goes_again_when_more_waits_the_oldest_give_way(
    application: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What was given back counts like what is new, and is older."""
    app = application(TUPLETRACE_MAX_QUEUE_BYTES="1_000_000")
    app.exporter.results = [ConnectionError("no route")] * 3

    for name in ("first", "second", "third"):
        app.span(name, text="x" * 450_000)
        assert app.provider.force_flush() is False
    assert app.provider.force_flush() is True

    assert sorted(app.exporter.names) == ["second", "third"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "ConnectionError: no route" in said
    assert "it waits in memory" in said


def test_a11_the_exporters_own_calls_are_not_traced(application: Any) -> None:
    """A11. The exporter runs with instrumentation suppressed."""
    app = application()

    app.span("work")
    app.provider.force_flush()

    assert app.exporter.traced is False


def test_a_sent_span_is_not_kept(application: Any) -> None:
    """A19. The queue holds nothing of a batch once it is sent."""

    def alive() -> int:
        gc.collect()
        return sum(issubclass(type(each), ReadableSpan) and each.name == "A19" for each in gc.get_objects())

    app = application()
    app.span("A19")
    app.provider.force_flush()

    assert alive() == 0


def test_after_the_programs_own_shutdown_spans_are_ignored_in_silence(
    application: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What was queued before is sent; shutting down twice is harmless."""
    app = application()

    app.span("before")
    app.provider.shutdown()
    app.span("after")
    app.provider.shutdown()

    assert app.exporter.names == ["before"]
    assert caplog.records == []


def test_log_records_are_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same variable, the oldest first."""
    monkeypatch.setenv("TUPLETRACE_MAX_QUEUE_BYTES", "1_000_000")
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", NEVER_MS)
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(QueuedLogRecordProcessor(exporter, {}, Notices()))
    logger = provider.get_logger("app")

    for number in range(5):
        logger.emit(LogRecord(body={"number": str(number), "texts": ["x" * 300_000]}))
    provider.force_flush()

    kept: list[Any] = [record.log_record.body for record in exporter.get_finished_logs()]
    provider.shutdown()
    assert [body["number"] for body in kept] == ["2", "3", "4"]


def test_a11_what_an_exporter_logs_is_not_exported(application: Any) -> None:
    """A11. Or each export would be a reason for the next."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(QueuedLogRecordProcessor(exporter, {}, Notices()))
    logger = provider.get_logger("app")
    app = application()
    app.exporter.export = lambda spans: logger.emit(LogRecord(body="sending"))

    app.span("work")
    app.provider.force_flush()
    logger.emit(LogRecord(body="the program's"))
    provider.force_flush()
    provider.shutdown()

    assert [record.log_record.body for record in exporter.get_finished_logs()] == ["the program's"]


def test_a16_three_thousand_prompts_of_a_megabyte_stay_below_the_bound(
    program: Any, nobody: dict[str, str]
) -> None:
    """A16. Nobody answers; the SDK alone holds 4 GB here."""
    source = """
import resource
span("warm-up")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(3000):
    span("work", prompt=chr(97 + number % 26) * 1_000_000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
end()
"""

    result = program(source).run(nobody["silent"], TUPLETRACE_EXIT_SECONDS="")

    assert int(result.out) < 200
    assert "lost so far: 3001 spans" in result.errors.splitlines()[-1]


def test_a_user_thread_never_waits_for_the_exporter(application: Any) -> None:
    """Ten thousand spans end while one request hangs."""
    app = application()
    app.hold_a_batch()

    for number in range(10_000):
        app.span(f"span {number}")
    app.exporter.go.set()
    app.provider.force_flush()

    assert len(app.exporter.names) == 10_001
