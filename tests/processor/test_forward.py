"""``--forward``: everything goes on to another OTLP endpoint, enriched, at least once, through outages."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import grpc
import pytest
import trustme
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from tupletrace.processor import index
from tupletrace.processor.forward import Forwarder
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.schema import StoreError
from tupletrace.processor.store import Store


class Collector(grpc.GenericRpcHandler):
    """An OTLP endpoint that keeps what it gets, and answers as it is told."""

    def __init__(
        self, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self.partial = ""
        self.metadata: dict[str, str | bytes] = {}
        self.spans: list[Any] = []
        self.others: list[str] = []
        self.code: grpc.StatusCode | None = None
        self.refusals = 0
        self.asked: list[tuple[str, bytes]] = []
        self.refused_at: list[float] = []
        self._server = grpc.server(ThreadPoolExecutor(2), handlers=[self])
        if credentials:
            self.address = f"https://localhost:{self._server.add_secure_port(address, credentials)}"
        else:
            self.address = f"127.0.0.1:{self._server.add_insecure_port(address)}"
        self._server.start()

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        self.metadata = dict(handler_call_details.invocation_metadata)

        def take(body: bytes, context: grpc.ServicerContext) -> bytes:
            if self.code is not None:
                self.refusals += 1
                self.refused_at.append(time.monotonic())
                context.set_trailing_metadata(tuple(self.asked[self.refusals % 2 :][:1]))
                context.abort(self.code, "as told")
            if "TraceService" in method:
                request = ExportTraceServiceRequest.FromString(body)
                spans = [s for r in request.resource_spans for sc in r.scope_spans for s in sc.spans]
                if any(span.name == "poison" for span in spans):
                    context.abort(grpc.StatusCode.INTERNAL, "it cannot be read")
                self.spans += spans
            else:
                self.others.append(method)
            answer = ExportTraceServiceResponse()
            if self.partial:
                answer.partial_success.rejected_spans = 1
                answer.partial_success.error_message = self.partial
            return answer.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(take)

    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans)

    def stop(self) -> None:
        self._server.stop(0).wait()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


def wait_asked_for(seconds: float) -> list[tuple[str, bytes]]:
    """The two places in which a server may say how long to wait."""
    retry = RetryInfo(retry_delay=timedelta(seconds=seconds))
    status = Status(code=8, message="as told", details=[AnyMessage()])
    status.details[0].Pack(retry)
    return [
        ("google.rpc.retryinfo-bin", retry.SerializeToString()),
        ("grpc-status-details-bin", status.SerializeToString()),
    ]


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


def test_nothing_goes_on_before_it_is_known_what_its_traces_are_made_of(
    collector: Collector, otlp: Any, until: Any, tmp_path: Path
) -> None:
    """A processor that has much to do stores spans long before it writes what their traces cost."""
    database = tmp_path / "x.duckdb"
    with closing(Journal(journal_folder(database))) as written, closing(Store(database)) as store:
        first = Forwarder(database, collector.address, store.cursor)
        first.stop()
        written.append("traces", otlp.request(otlp.call(1, 1, name="early"))).result(10)
        written.append("metrics", b"").result(10)
        index.catch_up(journal_folder(database), store)
        store.settle(0)
        written.append("traces", otlp.request(otlp.call(2, 1, name="late"))).result(10)
        index.catch_up(journal_folder(database), store)
        sending = Forwarder(database, collector.address, store.cursor)
        until(lambda: collector.others)
        assert collector.names() == ["early"]
        store.settle(0)
        until(lambda: collector.names() == ["early", "late"])
        sending.stop()
    assert all("tupletrace.tuple.id" in said(span) for span in collector.spans)


def test_what_the_other_side_cannot_take_holds_up_nothing_else(
    start_processor: Callable[..., Any], collector: Collector, otlp: Any, until: Any, tmp_path: Path
) -> None:
    """It has the limit of 4 MiB that every gRPC server has which has not been told otherwise."""
    running = start_processor(tmp_path / "x.duckdb", TUPLETRACE_FORWARD=collector.address)

    def forwarded(result: str) -> float:
        return running.metric("tupletrace_forwarded_requests_total", result=result, signal="traces")

    def send(trace: int, *names: str, size: int = 1) -> None:
        spans = [
            otlp.span(trace, number, name=name, attributes={"text": "x" * size})
            for number, name in enumerate(names, 1)
        ]
        assert running.post_traces(otlp.request(*spans, resource={"service.name": "large"})).status == 200

    many = [f"one of {number:02d}" for number in range(30)]
    send(1, *many, size=300_000)
    send(2, "too large", size=5_000_000)
    send(3, "poison")
    send(4, "after them")
    until(lambda: "after them" in collector.names())
    assert collector.names() == ["after them", *many]
    assert (forwarded("accepted"), forwarded("refused")) == (2, 2)
    collector.partial = "one is bad"
    send(5, "in part")
    until(lambda: forwarded("partial") == 1)
    collector.partial, collector.code = "", grpc.StatusCode.RESOURCE_EXHAUSTED
    collector.asked = wait_asked_for(2.5)
    send(6, "no room for now")
    until(lambda: len(collector.refused_at) > 2)
    first, second, third = collector.refused_at[:3]
    assert min(second - first, third - second) >= 2.5, "in either place where it may be asked for"
    collector.stop()
    again = Collector(collector.address)
    until(lambda: again.names() == ["no room for now"])
    again.stop()
    assert forwarded("refused") == 2
    log = running.stop()
    assert ("one is bad" in log, "it cannot be read" in log, "Traceback" in log) == (True, True, False)


def test_a_token_and_an_authority_of_ones_own_are_the_environments(
    otlp: Any, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("localhost")
    chain = b"".join(one.bytes() for one in issued.cert_chain_pems)
    server = grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])
    collector = Collector(credentials=server)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("TUPLETRACE_FORWARD_HEADERS", "Authorization=Bearer tt_1,x-team=a%20b")
    database = tmp_path / "x.duckdb"
    with closing(Store(database)) as store, closing(Journal(journal_folder(database))) as journal:
        forwarder = Forwarder(database, collector.address, store.cursor)
        journal.append("metrics", b"").result(120)
        index.catch_up(journal_folder(database), store)
        until(lambda: collector.others)
        forwarder.stop()
    collector.stop()
    assert (collector.metadata["authorization"], collector.metadata["x-team"]) == ("Bearer tt_1", "a b")


@pytest.mark.parametrize("damaged", ["", "[]", '{"a:1": "x"}'], ids=["empty", "a list", "no number"])
def test_a_position_that_cannot_be_read_is_told_of(damaged: str, tmp_path: Path) -> None:
    (tmp_path / "x.duckdb.forwarded").write_text(damaged)
    with pytest.raises(StoreError, match=r"x\.duckdb\.forwarded does not say .* delete it"):
        Forwarder(tmp_path / "x.duckdb", "localhost:9", duckdb.connect)


def test_an_address_that_is_none_is_named(tupletrace: Callable[..., Any], tmp_path: Path) -> None:
    for address, words in (("elsewhere", "HOST:PORT"), ("localhost:4317", "itself")):
        done = tupletrace("serve", "--db", tmp_path / "x.duckdb", "--forward", address)
        assert (done.returncode, words in done.stderr) == (2, True)
