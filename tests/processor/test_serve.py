"""``tupletrace serve``: what it acknowledges is stored, however it ends."""

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import SpanExportResult

METRICS_AND_LOGS = ("/v1/metrics", "/v1/logs")
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = "application/x-protobuf"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def shared(start_processor: Callable[..., Any]) -> Iterator[Any]:
    """One processor for the tests that leave it running."""
    running = start_processor()
    yield running
    assert "Traceback" not in running.stop()


def export(address: str, body: bytes, method: str = TRACES) -> bytes:
    """Send raw bytes as a gRPC request."""
    with grpc.insecure_channel(address) as channel:
        return channel.unary_unary(method)(body, timeout=120)


def names(processor: Any, trace: int | None = None) -> list[str]:
    """Names of the stored spans, of all or of one trace."""
    only = "" if trace is None else f"WHERE trace_id = '{trace:032x}'"
    return [row["name"] for row in processor.sql(f"SELECT name FROM spans {only} ORDER BY name")]


def test_spans_of_the_sdks_grpc_exporter_are_in_sql_within_seconds(shared: Any, until: Any) -> None:
    assert shared.export(3, "asked", gen_ai__request__model="gpt-4o") is SpanExportResult.SUCCESS
    asked = "SELECT request_model, service_name FROM spans WHERE name = 'asked'"
    rows = until(lambda: shared.sql(asked))
    assert rows == [{"request_model": "gpt-4o", "service_name": "unknown_service:python"}] * 3


def test_metrics_and_logs_of_the_sdk_are_taken_and_counted(shared: Any, caplog: Any) -> None:
    """The default distribution sends all three; a refusal would fill the user's log."""
    where = {"endpoint": shared.grpc, "insecure": True}
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(**where))
    meters = MeterProvider(metric_readers=[reader])
    meters.get_meter("tests").create_counter("asked").add(1)
    meters.get_meter("tests").create_histogram("waited").record(0.5)
    assert meters.force_flush()
    meters.shutdown()
    logs = LoggerProvider()
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(**where)))
    logs.get_logger("tests").emit(body="answered", attributes={"a": 1})
    logs.shutdown()
    for signal_ in ("metrics", "logs"):
        assert shared.metric("tupletrace_records_total", signal=signal_, result="accepted") >= 1
    assert not caplog.records


def test_requests_of_metrics_and_logs_between_traces_do_not_stop_the_index(
    shared: Any, otlp: Any, until: Any
) -> None:
    for path in METRICS_AND_LOGS:
        assert shared.request(path, b"\x0a\x00", Content_Type=PROTOBUF).status == 200
    shared.post_traces(otlp.request(otlp.span(trace=2, name="after")))
    until(lambda: names(shared, trace=2) == ["after"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_everything_acknowledged_is_stored(
    processor: Any, tupletrace: Run, number: signal.Signals
) -> None:
    for _ in range(5):
        assert processor.export(40) is SpanExportResult.SUCCESS
    assert processor.stop(number) == ""
    done = tupletrace("sql", "SELECT count(*) AS n FROM spans", "--db", processor.database, "--format", "csv")
    assert done.stdout == "n\n200\n"


def test_a_signal_during_a_slow_query_ends_it_all_the_same(processor: Any, until: Any) -> None:
    slow = "SELECT count(*) FROM range(1000000) AS a(i), range(1000000) AS b(j) WHERE i + j = -1"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: _swallowed(lambda: processor.ask(slow)))
        until(lambda: processor.export() is SpanExportResult.SUCCESS)
        assert "Traceback" not in processor.stop()
        asked.result()


def _swallowed(call: Callable[[], Any]) -> None:
    with suppress(OSError):
        call()


def test_what_was_acknowledged_right_before_a_kill_is_there_once_after_a_restart(
    start_processor: Callable[..., Any], tmp_path: Path, until: Any
) -> None:
    """Again and again on one database, with nothing between the acknowledgement and the kill."""
    database = tmp_path / "x.duckdb"
    sent = 0
    for _ in range(3):
        running = start_processor(database)
        for _ in range(3):
            assert running.export(20) is SpanExportResult.SUCCESS
            sent += 20
        running.kill()
    running = start_processor(database)
    until(lambda: running.sql("SELECT count(*) AS n FROM spans")[0]["n"] >= sent)
    assert running.sql("SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM spans") == [
        {"n": sent, "ids": sent}
    ]
    running.stop()


def test_after_a_kill_the_sql_command_shows_everything_acknowledged_without_a_server(
    processor: Any, tupletrace: Run
) -> None:
    assert processor.export(50) is SpanExportResult.SUCCESS
    processor.kill()
    for _ in range(2):
        done = tupletrace("sql", "SELECT count(*) FROM spans", "--db", processor.database, "--format", "csv")
        assert (done.stdout.split(), done.stderr) == (["count_star()", "50"], "")


def test_a_lost_database_file_is_made_again_from_the_journal(
    processor: Any, start_processor: Callable[..., Any], until: Any
) -> None:
    processor.export(30)
    processor.stop()
    processor.database.unlink()
    again = start_processor(processor.database)
    until(lambda: len(names(again)) == 30)


def test_spans_that_arrive_after_the_journal_was_deleted_are_indexed_too(
    processor: Any, start_processor: Callable[..., Any], until: Any
) -> None:
    for _ in range(3):
        processor.export(1, "before")
    processor.stop()
    for file in processor.database.with_name("x.duckdb.journal").iterdir():
        file.unlink()
    again = start_processor(processor.database)
    again.export(1, "later")
    until(lambda: names(again) == ["before"] * 3 + ["later"])


def test_the_same_request_delivered_again_is_stored_once(shared: Any, otlp: Any, until: Any) -> None:
    body = otlp.request(otlp.span(3, 1), otlp.span(3, 2))
    for _ in range(3):
        assert shared.post_traces(body).status == 200
        export(shared.grpc, body)
    shared.post_traces(otlp.request(otlp.span(3, 3, name="last")))
    until(lambda: "last" in names(shared, trace=3))
    assert names(shared, trace=3) == ["last", "span", "span"]


def test_a_span_with_an_invalid_id_is_refused_alone_and_the_answer_says_how_many(
    shared: Any, otlp: Any, until: Any
) -> None:
    bad = [otlp.span(4, name="bad") for _ in range(5)]
    bad[0].trace_id = bytes(16)
    bad[1].span_id = b""
    bad[2].trace_id = b"short"
    bad[3].span_id = bytes(8)
    bad[4].trace_id = bytes(15) + b"\1" * 2
    good = [otlp.span(4, i, name="good") for i in range(1, 4)]
    body = otlp.request(bad[0], good[0], *bad[1:4], good[1], good[2], bad[4])
    before = shared.metric("tupletrace_records_total", signal="traces", result="invalid_id")
    over_http = shared.post_traces(body)
    assert over_http.status == 200
    for answer in (over_http.body, export(shared.grpc, body)):
        said = ExportTraceServiceResponse.FromString(answer).partial_success
        assert said.rejected_spans == 5
        assert "5 spans" in said.error_message
    until(lambda: names(shared, trace=4))
    assert names(shared, trace=4) == ["good"] * 3
    assert shared.sql("SELECT * FROM spans WHERE name = 'bad'") == []
    assert shared.metric("tupletrace_records_total", signal="traces", result="invalid_id") == before + 10


def test_an_answer_to_a_request_without_faults_says_nothing(shared: Any, otlp: Any) -> None:
    """C12, C13: an empty request is a success too."""
    for body in (otlp.request(otlp.span(5)), otlp.request(), b""):
        assert export(shared.grpc, body) == b""
        assert shared.post_traces(body).body == b""


@pytest.mark.parametrize(
    "body", [b"\xff\xff\xff", b"{}", b"\x0a\x05abc", b"\x0a\x02\x12\x7f", b"GET / HTTP/1.1"]
)
def test_a_malformed_request_is_an_invalid_argument_and_counted(shared: Any, body: bytes) -> None:
    before = shared.metric("tupletrace_requests_total", signal="traces", result="malformed")
    with pytest.raises(grpc.RpcError) as refused:
        export(shared.grpc, body)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert shared.post_traces(body).status == 400
    assert shared.metric("tupletrace_requests_total", signal="traces", result="malformed") == before + 2


def test_an_unknown_service_is_unimplemented(shared: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        export(shared.grpc, b"", "/opentelemetry.proto.collector.profiles.v1.ProfilesService/Export")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_request_over_64_mib_is_refused_and_the_next_one_is_taken(shared: Any, otlp: Any) -> None:
    """C9: also when it is small before it is unpacked."""
    body = otlp.request(otlp.span(6, attributes={"long": "x" * (64 * 2**20)}))
    with grpc.insecure_channel(shared.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(TRACES)(body, timeout=120, compression=grpc.Compression.Gzip)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert export(shared.grpc, otlp.request(otlp.span(6))) == b""


def test_many_clients_at_once_all_find_their_spans(shared: Any, otlp: Any, until: Any) -> None:
    def send(number: int) -> int:
        body = otlp.request(*(otlp.span(number, i, name="one of many") for i in range(1, 11)))
        if number % 2:
            return shared.post_traces(body).status
        return len(export(shared.grpc, body))

    with ThreadPoolExecutor(12) as pool:
        assert sorted(set(pool.map(send, range(101, 161)))) == [0, 200]
    asked = "SELECT count(DISTINCT span_id || trace_id) AS ids FROM spans WHERE name = 'one of many'"
    until(lambda: shared.sql(asked) == [{"ids": 600}])


def test_every_port_answers_once_the_ready_line_is_printed(start_processor: Callable[..., Any]) -> None:
    running = start_processor()
    for address in (running.http, running.grpc):
        host, port = address.split(":")
        socket.create_connection((host, int(port)), 60).close()
    assert running.request("/healthz").json["status"] == "ok"
    running.stop()


def test_its_files_are_for_its_user_alone(processor: Any) -> None:
    processor.export()
    # Its files come and go while it runs.
    processor.kill()
    files = [f for f in processor.database.parent.rglob("*") if f.name.startswith(("x.duckdb", "20"))]
    assert len(files) >= 4
    assert not [f for f in files if f.stat().st_mode & 0o077]
