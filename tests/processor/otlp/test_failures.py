"""C16-C25: what fails, with which code, retried or not, in which encoding."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

SIGNALS = ["traces", "metrics", "logs"]
NOT_PROTOBUF = [b"\xff\xff\xff", b"{}", b"\x0a\x05abc", b"\x0a\x02\x12\x7f", b"GET / HTTP/1.1"]
PROTOBUF, JSON = "application/x-protobuf", "application/json"


@pytest.fixture(scope="module")
def full(start_processor: Callable[..., Any], client_of: Any) -> Iterator[Any]:
    """A processor whose disk has less left than its reserve."""
    running = start_processor(TUPLETRACE_DISK_RESERVE="1000000G")
    yield client_of(running)
    assert "Traceback" not in running.stop()


@pytest.mark.parametrize("body", NOT_PROTOBUF)
@pytest.mark.parametrize("signal", SIGNALS)
def test_c16_bad_data_is_an_invalid_argument(client: Any, signal: str, body: bytes) -> None:
    assert client.refused(signal, body).code() is grpc.StatusCode.INVALID_ARGUMENT
    answer = client.http(f"/v1/{signal}", body)
    assert answer.status == 400
    said, details = Status.FromString(answer.body), BadRequest()
    assert said.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert said.details[0].Unpack(details)
    assert details.field_violations[0].description == said.message
    (detail,) = client.json(signal, b"{").json["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"


@pytest.mark.parametrize("sent", SIGNALS)
@pytest.mark.parametrize("to", SIGNALS)
def test_c16_a_request_of_another_signal_is_bad_data(client: Any, one_of: Any, sent: str, to: str) -> None:
    if sent == to:
        return
    body = one_of(sent, 3)
    assert client.refused(to, body).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert client.http(f"/v1/{to}", body).status == 400
    name = "resourceSpans" if sent == "traces" else f"resource{sent.title()}"
    assert client.json(to, {name: []}).status == 400


def test_c17_without_room_the_client_is_asked_to_come_back(full: Any, one_of: Any) -> None:
    """F6: before anything of the request is kept; what is there can be asked for."""
    refused = full.refused("traces", one_of("traces"))
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    answer = full.http("/v1/traces", one_of("traces"))
    assert answer.status == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 3
    assert full.http("/readyz", None, "GET").status == 503
    assert full.http("/healthz", None, "GET").status == 200
    assert full.processor.sql("SELECT count(*) AS n FROM spans") == [{"n": 0}], "queries are answered"


def test_c18_load_is_never_resource_exhausted(full: Any, one_of: Any) -> None:
    for signal in SIGNALS:
        assert full.refused(signal, one_of(signal)).code() is grpc.StatusCode.UNAVAILABLE


def test_c19_a_refusal_that_is_for_good_has_a_code_that_is_not_retried(client: Any, one_of: Any) -> None:
    refused = client.refused("traces", NOT_PROTOBUF[0])
    assert refused.code() not in {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
    assert client.http("/v1/traces", NOT_PROTOBUF[0]).status not in (429, 502, 503, 504)


def test_c20_http_says_503_and_never_500_when_nothing_can_be_written(full: Any, one_of: Any) -> None:
    for signal in SIGNALS:
        for kind, body in ((PROTOBUF, one_of(signal)), (JSON, b"{}")):
            answer = full.http(f"/v1/{signal}", body, Content_Type=kind)
            assert answer.status == 503
            assert answer.headers["content-type"] == kind


def test_c21_the_delay_stands_in_both_places_where_clients_look(full: Any, one_of: Any) -> None:
    found = dict(full.refused("traces", one_of("traces")).trailing_metadata())
    alone = RetryInfo.FromString(found["google.rpc.retryinfo-bin"])
    within = RetryInfo()
    status = Status.FromString(found["grpc-status-details-bin"])
    assert status.details[0].Unpack(within)
    assert alone == within
    assert 1 <= alone.retry_delay.ToMilliseconds() / 1000 <= 3


def test_c21_the_sdks_exporter_waits_as_it_is_told_and_tries_again(full: Any, until: Any) -> None:
    def refused() -> float:
        return full.processor.metric("tupletrace_requests_total", signal="traces", result="disk_reserve")

    before, began = refused(), time.monotonic()
    exporter = GrpcSpanExporter(endpoint=full.processor.grpc, insecure=True, timeout=120)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(provider.get_tracer("tests").start_span("refused").end)
        until(lambda: refused() >= before + 2)
        again = refused() - before - 1
        exporter.shutdown()
    assert again <= time.monotonic() - began, "no sooner than after a second each"


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/v1/traces", b"\xff", PROTOBUF, 400),
        ("/v1/traces", b"{", JSON, 400),
        ("/v1/nothing", b"", PROTOBUF, 404),
        ("/v1/logs", b"\xff", PROTOBUF, 400),
        ("/v1/metrics", b"[]", JSON, 400),
    ],
)
def test_c22_a_refusal_is_a_status_in_the_encoding_of_the_request(
    client: Any, path: str, body: bytes, kind: str, status: int
) -> None:
    answer = client.http(path, body, Content_Type=kind)
    assert answer.status == status
    assert answer.headers["content-type"] == kind
    said = answer.json if kind == JSON else Status.FromString(answer.body)
    assert (said["message"], said["code"]) if kind == JSON else (said.message, said.code)


def test_c22_what_is_not_allowed_on_a_path_is_said_in_the_encoding_of_the_request(client: Any) -> None:
    answer = client.http("/v1/traces", None, "GET")
    assert (answer.status, answer.headers["content-type"]) == (405, PROTOBUF)
    assert Status.FromString(answer.body).message


def test_every_refusal_is_counted_with_its_reason(client: Any, one_of: Any, until: Any) -> None:
    """Also what is refused before its body is read, and what gRPC itself refuses."""

    def counted(reason: str) -> float:
        return client.processor.metric("tupletrace_requests_total", signal="logs", result=reason)

    before = {reason: counted(reason) for reason in ("unsupported", "too_large", "malformed", "cancelled")}
    long = one_of("logs") * 2_400_000
    host, port = client.processor.http.split(":")
    head = f"POST /v1/logs HTTP/1.1\r\nHost: {host}\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection((host, int(port)), 120) as raw:
        raw.sendall(head.encode() + b"x")
    assert client.http("/v1/logs", one_of("logs"), Content_Type="text/plain").status == 415
    assert client.http("/v1/logs", one_of("logs"), Content_Encoding="br").status == 415
    assert client.http("/v1/logs", long).status == 413
    refused = client.refused("logs", long, compression=grpc.Compression.Gzip)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.refused("logs", b"\xff").code() is grpc.StatusCode.INVALID_ARGUMENT
    more = {"unsupported": 2, "too_large": 2, "malformed": 1, "cancelled": 1}
    until(lambda: {reason: counted(reason) - before[reason] for reason in more} == more)


def test_c23_a_connection_cut_before_the_answer_may_be_made_again(
    client: Any, one_of: Any, stored: Any
) -> None:
    """What a client sends again because it got no answer is stored once."""
    body = one_of("traces", 4, trace=2300)
    host, port = client.processor.http.split(":")
    head = f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: {PROTOBUF}\r\n"
    with socket.create_connection((host, int(port)), 120) as raw:
        raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert client.http("/v1/traces", body).status == 200
    stored(2300, 4)


@pytest.mark.parametrize(
    "kind", [f"{PROTOBUF}; charset=utf-8", "Application/X-Protobuf", JSON, f"{JSON};a=b"]
)
def test_c24_the_answer_has_the_requests_content_type(client: Any, kind: str) -> None:
    answer = client.http("/v1/traces", b"{}" if "json" in kind else b"", Content_Type=kind)
    assert answer.status == 200
    assert answer.headers["content-type"] == kind.split(";")[0].lower()


@pytest.mark.parametrize("kind", ["", "text/plain", "application/octet-stream", "application/x-protobuf-x"])
def test_c25_any_other_content_type_is_unsupported_and_stores_nothing(
    client: Any, one_of: Any, kind: str
) -> None:
    assert client.http("/v1/traces", one_of("traces", trace=2500), Content_Type=kind).status == 415
    assert client.spans(2500) == []


def test_the_sdks_http_exporter_delivers_plain_and_packed(client: Any, until: Any) -> None:
    for compression in (Compression.NoCompression, Compression.Gzip):
        exporter = OTLPSpanExporter(
            endpoint=f"http://{client.processor.http}/v1/traces", compression=compression
        )
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("tests").start_span(f"python http {compression.value}").end()
        provider.shutdown()
    asked = "SELECT count(*) AS n FROM spans WHERE name LIKE 'python http %'"
    until(lambda: client.processor.sql(asked) == [{"n": 2}])
