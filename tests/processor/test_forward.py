"""``--forward``: everything goes on to another OTLP endpoint, enriched, at least once, through outages."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs


class Collector(grpc.GenericRpcHandler):
    """An OTLP endpoint that keeps what it gets, and answers as it is told."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.others: list[str] = []
        self.code: grpc.StatusCode | None = None
        self.refusals = 0
        self._server = grpc.server(ThreadPoolExecutor(2), handlers=[self])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method

        def take(body: bytes, context: grpc.ServicerContext) -> bytes:
            if self.code is not None:
                self.refusals += 1
                context.abort(self.code, "as told")
            if "TraceService" in method:
                request = ExportTraceServiceRequest.FromString(body)
                self.spans += [s for r in request.resource_spans for sc in r.scope_spans for s in sc.spans]
            else:
                self.others.append(method)
            return b""

        return grpc.unary_unary_rpc_method_handler(take)

    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans)

    def stop(self) -> None:
        self._server.stop(0)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


def said(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_spans_go_on_with_what_was_found_out_and_resume_after_outages_and_kills(
    start_processor: Callable[..., Any], collector: Collector, otlp: Any, until: Any, tmp_path: Path
) -> None:
    database = tmp_path / "x.duckdb"
    first = start_processor(database, TUPLETRACE_FORWARD=collector.address)
    called = otlp.call(1, 1, attributes={"tupletrace.route": "answers"}, name="call")
    assert first.post_traces(otlp.request(called, otlp.span(1, 2, parent=1, name="plain"))).status == 200
    log = ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord(body=otlp.any_value("said"))])])
    logs = ExportLogsServiceRequest(resource_logs=[log]).SerializeToString()
    assert first.request("/v1/logs", logs, Content_Type="application/x-protobuf").status == 200
    until(lambda: collector.names() == ["call", "plain"])
    call, plain = sorted(collector.spans, key=lambda span: span.name)
    assert said(call)["tupletrace.cost.usd"] == 0.000075
    assert said(call)["tupletrace.cost.status"] == "priced"
    assert said(call)["gen_ai.prompt.version"] == "3"
    assert said(plain)["tupletrace.route"] == "answers"
    assert said(plain)["tupletrace.tuple.id"] == said(call)["tupletrace.tuple.id"]
    until(lambda: collector.others)
    collector.code = grpc.StatusCode.UNAVAILABLE
    first.post_traces(otlp.request(otlp.span(2, name="while it is away")))
    until(lambda: collector.refusals)
    first.kill()
    collector.code = None
    again = start_processor(database, TUPLETRACE_FORWARD=collector.address)
    until(lambda: "while it is away" in collector.names())
    collector.code = grpc.StatusCode.INVALID_ARGUMENT
    refused = collector.refusals
    again.post_traces(otlp.request(otlp.span(3, name="refused")))
    until(lambda: collector.refusals > refused)
    collector.code = None
    again.post_traces(otlp.request(otlp.span(4, name="last")))
    until(lambda: "last" in collector.names())
    assert "refused" not in collector.names()
    assert '{result="refused",signal="traces"} 1.0' in again.request("/metrics").body.decode()
    assert "as told" in again.stop()
    assert list(json.loads(database.with_name("x.duckdb.forwarded").read_text())) == [collector.address]


def test_an_address_that_is_none_is_named(tupletrace: Callable[..., Any], tmp_path: Path) -> None:
    for address, words in (("elsewhere", "HOST:PORT"), ("localhost:4317", "itself")):
        done = tupletrace("serve", "--db", tmp_path / "x.duckdb", "--forward", address)
        assert (done.returncode, words in done.stderr) == (2, True)
