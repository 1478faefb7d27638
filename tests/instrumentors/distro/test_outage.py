"""A receiver that is away for a while, or refuses something: what waits for it, and what is given up."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HTTPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter

from tupletrace.instrumentors.distro.delivery import QueuedSpanProcessor
from tupletrace.instrumentors.distro.notices import Notices

ON_DEMAND = """
made = 0
for line in sys.stdin:
    for _ in range(int(line)):
        span(f"work {made}")
        made += 1
    print(trace.get_tracer_provider().force_flush(), flush=True)
end()
"""
"""Makes as many spans as each line of its input says, then says whether all is delivered."""
ONE_TRY_S, PATIENT_S = 0.7, 60
"""Of the exporter's own time, with so little of which it does not try again itself."""
ALONE = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}


def make(program: subprocess.Popen[str], count: int) -> str:
    """Let the program make spans; return what its flush said."""
    assert program.stdin
    assert program.stdout
    program.stdin.write(f"{count}\n")
    program.stdin.flush()
    return program.stdout.readline().strip()


def deliver(program: subprocess.Popen[str], count: int = 0) -> None:
    """Let the program make spans and flush until all is delivered."""
    until = time.monotonic() + 120
    said = make(program, count)
    while said == "False" and time.monotonic() < until:
        said = make(program, 0)
    assert said == "True"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], str]]]:
    """Start `tupletrace serve` at an address, always on the same database; returns where it listens."""
    started: list[subprocess.Popen[str]] = []

    def start(address: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "tupletrace.processor.cli", "serve"]
        options = ["--db", str(tmp_path / "x.duckdb"), "--grpc", address, "--http", "127.0.0.1:0"]
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        said = process.stdout.readline()
        assert said.startswith("tupletrace ready "), said
        return process, dict(word.split("=", 1) for word in said.split()[2:])["grpc"]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_f1_spans_made_while_the_processor_is_dead_arrive_when_it_is_back(
    program: Any, serve: Any, tmp_path: Path
) -> None:
    """Killed and started again at the same address: every span once, and the log says that they wait."""
    # An address of its own, or another test might be given the port meanwhile.
    processor, address = serve("127.0.0.2:0")
    app = program(ON_DEMAND)
    process = app.start({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", **ALONE})
    deliver(process, 50)

    processor.kill()
    processor.wait()
    assert [make(process, 50) for _ in range(3)] == ["False"] * 3
    again, _ = serve(address)
    deliver(process, 50)
    result = app.finish(process)
    again.terminate()
    again.wait()

    with duckdb.connect(tmp_path / "x.duckdb", read_only=True) as database:
        counts = database.execute("SELECT count(DISTINCT name), count(*) FROM spans").fetchall()
    assert counts == [(250, 250)]
    assert "it waits in memory" in result.errors.splitlines()[0]
    assert "lost" not in result.errors


def test_a16_what_nobody_took_is_counted_when_the_program_ends(program: Any, nobody: dict[str, str]) -> None:
    """A16. Although the log said a moment before that telemetry does not arrive."""
    app = program(ON_DEMAND)
    process = app.start(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": nobody["refused"], "TUPLETRACE_EXIT_SECONDS": "", **ALONE}
    )

    assert [make(process, 50) for _ in range(2)] == ["False"] * 2
    result = app.finish(process)

    assert result.code == 0
    said = result.errors.splitlines()
    assert len(said) == 2
    assert "lost" not in said[0]
    assert "lost so far: 100 spans" in said[1]


@pytest.fixture
def sending(notices: Notices, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TracerProvider]]:
    """A provider that sends one span a request, with an exporter that leaves trying again to us."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    with ExitStack() as stack:

        def start(exporter: SpanExporter) -> TracerProvider:
            provider = TracerProvider(shutdown_on_exit=False)
            stack.callback(provider.shutdown)
            provider.add_span_processor(QueuedSpanProcessor(exporter, {}, notices))
            return provider

        yield start


@pytest.mark.parametrize(
    ("status", "again"),
    [
        (grpc.StatusCode.UNAVAILABLE, True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, True),
        (grpc.StatusCode.ABORTED, True),
        (grpc.StatusCode.INVALID_ARGUMENT, False),
        (grpc.StatusCode.UNAUTHENTICATED, False),
        (grpc.StatusCode.PERMISSION_DENIED, False),
        (grpc.StatusCode.UNIMPLEMENTED, False),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_over_grpc_the_status_decides_what_is_sent_again(
    sending: Any, receiver: Any, caplog: pytest.LogCaptureFixture, status: grpc.StatusCode, again: bool
) -> None:
    """As the OTLP specification has it; what is refused for good is dropped and counted."""
    timeout = ONE_TRY_S if again else PATIENT_S
    provider = sending(OTLPSpanExporter(endpoint=receiver.endpoint, timeout=timeout))
    receiver.refuse = lambda _names: status

    provider.get_tracer("app").start_span("refused").end()
    assert provider.force_flush() is not again
    receiver.refuse = lambda _names: None
    provider.get_tracer("app").start_span("taken").end()
    flush(provider)

    assert set(receiver.names) == ({"refused", "taken"} if again else {"taken"})
    (said,) = caplog.messages
    assert ("it waits in memory" in said) is again
    assert (f"{status.name}, error details: not taken" in said and "lost so far: 1 span" in said) is not again


@pytest.mark.parametrize(
    ("status", "again"), [(429, True), (502, True), (503, True), (504, True), (400, False), (401, False)]
)
def test_over_http_the_status_decides_what_is_sent_again(
    sending: Any, answering: Any, caplog: pytest.LogCaptureFixture, status: int, again: bool
) -> None:
    """As the OTLP specification has it."""
    with answering(status, 200) as address:
        timeout = ONE_TRY_S if again else PATIENT_S
        provider = sending(HTTPSpanExporter(endpoint=f"{address}/v1/traces", timeout=timeout))
        provider.get_tracer("app").start_span("work").end()

        assert provider.force_flush() is not again
        flush(provider)

    (said,) = caplog.messages
    assert ("it waits in memory" in said) is again
    assert ("lost so far: 1 span" in said) is not again


def test_a_batch_that_is_never_taken_does_not_block_the_others(
    sending: Any, receiver: Any, notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that takes others meanwhile is there; after some turns the batch is dropped and counted."""
    provider = sending(OTLPSpanExporter(endpoint=receiver.endpoint, timeout=ONE_TRY_S))
    receiver.refuse = lambda names: grpc.StatusCode.RESOURCE_EXHAUSTED if "poison" in names else None

    for name in ("poison", *(f"work {number}" for number in range(10))):
        provider.get_tracer("app").start_span(name).end()
    flush(provider)

    assert set(receiver.names) == {f"work {number}" for number in range(10)}
    notices.release(at_last=True)
    assert "not taken" in caplog.messages[-1]
    assert "lost so far: 1 span" in caplog.messages[-1]


def flush(provider: TracerProvider) -> None:
    """Flush until all is sent or given up."""
    until = time.monotonic() + 60
    while not provider.force_flush():
        assert time.monotonic() < until
