"""C9-C15: sizes, full and partial success."""

import gzip
from http.client import HTTPConnection
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

SIGNALS = ["traces", "metrics", "logs"]
LIMIT = 64 * 2**20
REJECTED = {
    "traces": "rejected_spans",
    "metrics": "rejected_data_points",
    "logs": "rejected_log_records",
}
IN_JSON = {"traces": "rejectedSpans", "metrics": "rejectedDataPoints", "logs": "rejectedLogRecords"}


def test_c09_a_grpc_message_over_64_mib_is_refused_and_not_to_be_sent_again(client: Any, otlp: Any) -> None:
    body = otlp.request(otlp.span(9, attributes={"long": "x" * LIMIT}))
    refused = client.refused("traces", body, compression=grpc.Compression.Gzip)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "retryinfo" not in str(refused.trailing_metadata()).lower()
    assert client.spans(9) == []


def test_c09_a_message_just_below_the_limit_is_taken(client: Any, otlp: Any, stored: Any) -> None:
    body = otlp.request(otlp.span(91, attributes={"long": "x" * (LIMIT - 1000)}))
    assert client.grpc("traces", body, compression=grpc.Compression.Gzip) == b""
    stored(91, 1)


def test_c10_an_http_body_over_the_limit_is_413_however_it_comes(client: Any, otlp: Any) -> None:
    """By what it announces, by what it sends, by what it inflates to."""
    body = otlp.request(otlp.span(10, attributes={"long": "x" * LIMIT}))
    packed = client.http("/v1/traces", gzip.compress(body, 1), Content_Encoding="gzip")
    assert packed.status == 413
    assert str(LIMIT) in Status.FromString(packed.body).message
    connection = HTTPConnection(client.processor.http, timeout=120)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", "application/x-protobuf")
    connection.putheader("Content-Length", str(LIMIT + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413, "before a byte of it is sent"
    connection.close()
    assert client.spans(10) == []


def test_c11_the_answer_to_a_hundred_thousand_refused_spans_is_short(client: Any, otlp: Any) -> None:
    bad = otlp.request(otlp.span(11))
    bad = bad.replace((11).to_bytes(16), bytes(16)) * 100_000
    over_http = client.http("/v1/traces", bad)
    assert over_http.status == 200
    for answer in (over_http.body, client.grpc("traces", bad)):
        assert len(answer) < 4096


@pytest.mark.parametrize("signal", SIGNALS)
def test_c12_an_empty_request_is_a_success(client: Any, signal: str) -> None:
    envelopes = (b"", b"\x0a\x00", b"\x0a\x02\x12\x00")
    for body in envelopes:
        assert client.grpc(signal, body) == b""
        assert client.http(f"/v1/{signal}", body).status == 200
    name = f"resource{signal.title()}" if signal != "traces" else "resourceSpans"
    for said in ({}, {name: []}, {name: [{}]}):
        assert client.json(signal, said).status == 200


@pytest.mark.parametrize("signal", SIGNALS)
def test_c13_full_success_leaves_partial_success_unset(client: Any, one_of: Any, signal: str) -> None:
    assert client.grpc(signal, one_of(signal)) == b""
    assert client.http(f"/v1/{signal}", one_of(signal)).body == b""
    assert client.json(signal, {}).json == {}


@pytest.mark.parametrize("signal", SIGNALS)
def test_c14_faulty_records_are_counted_exactly_and_the_others_kept(
    client: Any, one_of: Any, answered: Any, signal: str, until: Any
) -> None:
    """Three with text that is not UTF-8; of metrics, data points are counted."""
    text = {"traces": b"span", "metrics": b"point 1", "logs": b"record 1"}[signal]
    body = one_of(signal, 12, trace=1400)
    if signal == "traces":
        at = [i for i in range(len(body)) if body.startswith(text, i)][:3]
        for i in at:
            body = body[:i] + b"\xff\xfe\xfd\xfc" + body[i + 4 :]
    else:
        body = body.replace(text, b"\xff" * len(text))
    before = client.processor.metric("tupletrace_records_total", signal=signal, result="accepted")
    over_http = client.http(f"/v1/{signal}", body)
    assert over_http.status == 200
    for answer in (over_http.body, client.grpc(signal, body)):
        said = answered(signal, answer).partial_success
        assert getattr(said, REJECTED[signal]) == 3
        assert "3 " in said.error_message
        assert "UTF-8" in said.error_message
    after = client.processor.metric("tupletrace_records_total", signal=signal, result="accepted")
    assert after == before + 2 * 9
    if signal == "traces":
        until(lambda: len(client.spans(1400)) == 9)


def test_c14_in_json_the_count_is_a_string_as_64_bit_numbers_are(client: Any, span_json: Any) -> None:
    answer = client.json("traces", span_json(0))
    assert answer.status == 200
    assert answer.json["partialSuccess"]["rejectedSpans"] == "1"
    assert answer.json["partialSuccess"]["errorMessage"]


def test_c15_a_warning_rejects_nothing_and_says_something(
    client: Any, otlp: Any, answered: Any, stored: Any
) -> None:
    """A resource is around its spans: its text is repaired and they are kept."""
    body = otlp.request(otlp.span(1500), resource={"service.name": "caf\x01\x01"})
    answer = client.http("/v1/traces", body.replace(b"caf\x01\x01", b"caf\xc3\x28"))
    said = answered("traces", answer.body).partial_success
    assert said.rejected_spans == 0
    assert "repaired" in said.error_message
    (row,) = stored(1500, 1)
    assert row["service_name"] == "caf\ufffd("
