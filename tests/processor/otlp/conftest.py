"""What the conformance tests share: one running processor, raw clients, one small request of each signal."""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
MESSAGES = {
    "traces": (ExportTraceServiceRequest, ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse, "rejected_data_points"),
    "logs": (ExportLogsServiceRequest, ExportLogsServiceResponse, "rejected_log_records"),
}


@dataclass(frozen=True)
class Response:
    """What an HTTP request got."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Sends raw requests to one processor."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def http(self, path: str, body: bytes | None = None, method: str = "POST", **headers: str) -> Response:
        """One HTTP request; header names with ``_`` for ``-``; the content type is protobuf if not said."""
        named = {"Content-Type": PROTOBUF} | {key.replace("_", "-"): said for key, said in headers.items()}
        connection = http.client.HTTPConnection(self.processor.http, timeout=120)
        try:
            # Who refuses a body does not read it to its end.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, {key: said for key, said in named.items() if said})
            got = connection.getresponse()
            return Response(got.status, got.read(), {key.lower(): said for key, said in got.headers.items()})
        finally:
            connection.close()

    def json(self, signal: str, body: Any, **headers: str) -> Response:
        """One OTLP request in JSON: an object, or the bytes themselves."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http(f"/v1/{signal}", raw, **{"Content_Type": JSON} | headers)

    def grpc(self, signal: str, body: bytes, **options: Any) -> bytes:
        """One OTLP request over gRPC, as bytes."""
        with grpc.insecure_channel(self.processor.grpc) as channel:
            return channel.unary_unary(f"/{SERVICES[signal]}/Export")(body, timeout=120, **options)

    def refused(self, signal: str, body: bytes, **options: Any) -> Any:
        """The error of an OTLP request over gRPC that must fail."""
        with pytest.raises(grpc.RpcError) as error:
            self.grpc(signal, body, **options)
        return error.value

    def spans(self, trace: int) -> list[dict[str, Any]]:
        """Stored spans of a trace."""
        return self.processor.sql(f"SELECT * FROM spans WHERE trace_id = '{trace:032x}' ORDER BY span_id")


@pytest.fixture(scope="session")
def server(start_processor: Callable[..., Any]) -> Iterator[Any]:
    """The processor of the conformance tests; none of them may make it fail."""
    running = start_processor()
    yield running
    assert "Traceback" not in running.stop()


@pytest.fixture(scope="session")
def client(server: Any) -> Client:
    return Client(server)


@pytest.fixture(scope="session")
def client_of() -> Callable[[Any], Client]:
    """A client of another processor than the shared one."""
    return Client


@pytest.fixture
def stored(client: Client, until: Callable[..., Any]) -> Callable[[int, int], list[dict[str, Any]]]:
    """Wait until a trace has so many spans, and return them."""
    return lambda trace, count: until(lambda: found if len(found := client.spans(trace)) == count else None)


@pytest.fixture(scope="session")
def answered() -> Callable[[str, bytes], Any]:
    """Read the response of a signal."""
    return lambda signal, body: MESSAGES[signal][1].FromString(body)


def log_request(count: int = 1, **fields: Any) -> bytes:
    """Log records in protobuf."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number in range(count):
        record = scope.log_records.add(time_unix_nano=number + 1, severity_number=9, **fields)
        record.body.string_value = f"record {number}"
    return request.SerializeToString()


def metric_request(count: int = 1, name: str = "asked") -> bytes:
    """Data points of one sum in protobuf."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=name)
    metric.sum.is_monotonic = True
    for number in range(count):
        point = metric.sum.data_points.add(time_unix_nano=number + 1, as_int=number)
        point.attributes.add(key="number").value.string_value = f"point {number}"
    return request.SerializeToString()


@pytest.fixture(scope="session")
def one_of(otlp: Any) -> Callable[..., bytes]:
    """A request of a signal with so many records."""

    def make(signal: str, count: int = 1, trace: int = 900) -> bytes:
        if signal == "traces":
            return otlp.request(*(otlp.span(trace, number) for number in range(1, count + 1)))
        return (log_request if signal == "logs" else metric_request)(count)

    return make


@pytest.fixture(scope="session")
def span_json() -> Callable[..., dict[str, Any]]:
    """A trace request with one span as OTLP writes it in JSON."""

    def make(trace: int, span: int = 1, **fields: Any) -> dict[str, Any]:
        said = {
            "traceId": f"{trace:032x}",
            "spanId": f"{span:016x}",
            "name": "span",
            "kind": 1,
            "startTimeUnixNano": "1767268800000000000",
            "endTimeUnixNano": "1767268801000000000",
        }
        return {"resourceSpans": [{"scopeSpans": [{"spans": [said | fields]}]}]}

    return make
