"""C26-C31 and C40: OTLP in JSON says the same as in protobuf, or is refused."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tupletrace.processor import otlp_json, wire
from tupletrace.processor.refusal import Refused

MOST = 1_000_000
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(st.none(), st.booleans(), INT64, st.floats(), TEXT, st.binary(max_size=8))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
IDS = {"traceId", "spanId", "parentSpanId"}


def with_hex_ids(found: Any) -> Any:
    """What protobuf writes in JSON, with ids as OTLP has them."""
    if isinstance(found, dict):
        return {
            key: base64.b64decode(one).hex() if key in IDS else with_hex_ids(one)
            for key, one in found.items()
        }
    return [with_hex_ids(one) for one in found] if isinstance(found, list) else found


def converted(said: Any, signal: str = wire.TRACES) -> Any:
    raw = said if isinstance(said, bytes) else json.dumps(said).encode()
    return wire.REQUESTS[signal].FromString(otlp_json.to_protobuf(signal, raw, MOST))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(TEXT, VALUES, max_size=4),
    TEXT,
    st.integers(0, 2**64 - 1),
    st.integers(-(2**31), 2**31 - 1),
)
def test_json_says_the_same_as_protobuf(
    otlp: Any, attributes: dict[str, Any], name: str, start: int, kind: int
) -> None:
    """protobuf's own JSON is the oracle, but for ids and enums, which it writes otherwise."""
    span = otlp.span(260, parent=3, name=name, start=start % 2**63, attributes=attributes, trace_state=name)
    span.kind = kind
    span.start_time_unix_nano = start
    span.events.add(name=name, time_unix_nano=start).attributes.extend(otlp.key_values(attributes))
    span.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, flags=kind % 2**32)
    request = ExportTraceServiceRequest.FromString(otlp.request(span, resource=attributes))
    said = json_format.MessageToDict(request, use_integers_for_enums=True)
    found = converted(with_hex_ids(said))
    # NaN is not equal to itself, its bytes are.
    assert found.SerializeToString(deterministic=True) == request.SerializeToString(deterministic=True)


def test_c26_ids_are_hex_in_any_case_wherever_they_stand(span_json: Any) -> None:
    link = {"traceId": "AB" * 16, "spanId": "Cd" * 8}
    said = span_json(0xABCDEF, parentSpanId="00000000000000Ff", links=[link])
    span = converted(said).resource_spans[0].scope_spans[0].spans[0]
    assert span.trace_id == (0xABCDEF).to_bytes(16)
    assert span.parent_span_id == (0xFF).to_bytes(8)
    assert (span.links[0].trace_id, span.links[0].span_id) == (b"\xab" * 16, b"\xcd" * 8)
    logs = converted({"resourceLogs": [{"scopeLogs": [{"logRecords": [link]}]}]}, wire.LOGS)
    assert logs.resource_logs[0].scope_logs[0].log_records[0].span_id == b"\xcd" * 8
    point = {"asInt": 1, "exemplars": [link]}
    metric = {"name": "m", "gauge": {"dataPoints": [point]}}
    metrics = converted({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}, wire.METRICS)
    exemplar = metrics.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].exemplars[0]
    assert exemplar.trace_id == b"\xab" * 16


@pytest.mark.parametrize("trace_id", ["", "00", "zz" * 16, "AAAAAAAAAAAAAAAAAAAAAA==", "00 " * 11, "0" * 32])
def test_c26_an_id_that_is_not_hex_refuses_its_record_alone(
    client: Any, span_json: Any, stored: Callable[..., Any], trace_id: str
) -> None:
    said = span_json(2600)
    spans = said["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append(spans[0] | {"traceId": trace_id})
    answer = client.json("traces", said)
    assert (answer.status, answer.json["partialSuccess"]["rejectedSpans"]) == (200, "1")
    stored(2600, 1)


@pytest.mark.parametrize("kind", ["SPAN_KIND_SERVER", "2", 2.0, True, [2]])
def test_c27_enums_are_integers_only(client: Any, span_json: Any, kind: Any) -> None:
    assert client.json("traces", span_json(2700, kind=kind)).status == 400
    assert client.json("traces", span_json(2700, status={"code": kind})).status == 400
    assert client.spans(2700) == []


def test_c28_unknown_fields_are_ignored_wherever_they_stand(
    client: Any, span_json: Any, otlp: Any, stored: Callable[..., Any]
) -> None:
    said = span_json(2800, noSuchField={"a": [1, {"b": None}]}, status={"code": 1, "new": "x"})
    assert client.json("traces", said | {"alsoNew": []}).json == {}
    (row,) = stored(2800, 1)
    assert row["status_code"] == "OK"
    # In protobuf: a field number that is not yet in use.
    unknown = b"\xfa\x7f\x03new"
    assert client.http("/v1/traces", otlp.request(otlp.span(2801)) + unknown).body == b""
    stored(2801, 1)


def test_c29_snake_case_is_an_unknown_field(span_json: Any) -> None:
    said = span_json(2900)
    span = said["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["parent_span_id"], span["trace_state"] = "11" * 8, "a=b"
    found = converted(said).resource_spans[0].scope_spans[0].spans[0]
    assert (found.parent_span_id, found.trace_state) == (b"", "")
    assert not converted({"resource_spans": said["resourceSpans"]}).resource_spans


def test_c30_numbers_are_exact_as_strings_and_as_numbers(
    client: Any, span_json: Any, stored: Callable[..., Any]
) -> None:
    values = {
        "string": ({"intValue": "9007199254740993"}, "9007199254740993"),
        "number": ({"intValue": 9007199254740993}, "9007199254740993"),
        "least": ({"intValue": "-9223372036854775808"}, "-9223372036854775808"),
        "bytes": ({"bytesValue": "AP8="}, "AP8="),
        "nan": ({"doubleValue": "NaN"}, "nan"),
        "inf": ({"doubleValue": "-Infinity"}, "-inf"),
        "double": ({"doubleValue": 0.1}, "0.1"),
        "whole": ({"doubleValue": 3}, "3"),
    }
    attributes = [{"key": key, "value": said} for key, (said, _) in values.items()]
    start = "1767268800000000001"
    assert client.json("traces", span_json(3000, attributes=attributes, startTimeUnixNano=start)).json == {}
    (row,) = stored(3000, 1)
    assert row["start_unix_nano"] == int(start)
    for key, (_, expected) in values.items():
        found = client.processor.sql(
            f"SELECT attributes['{key}'] AS v FROM spans WHERE trace_id = '{3000:032x}'"
        )
        assert str(found[0]["v"]).lower() == expected.lower(), key


@pytest.mark.parametrize(
    "value",
    [
        {"intValue": "9223372036854775808"},
        {"intValue": 1.5},
        {"intValue": "1e3"},
        {"intValue": True},
        {"intValue": "٣"},
        {"boolValue": "true"},
        {"stringValue": 5},
        {"doubleValue": "one"},
        {"doubleValue": 10**400},
        {"bytesValue": "§"},
        {"arrayValue": []},
        {"kvlistValue": {"values": {}}},
        "text",
    ],
)
def test_c30_a_value_of_another_kind_is_malformed(span_json: Any, value: Any) -> None:
    with pytest.raises(Refused):
        converted(span_json(3001, attributes=[{"key": "k", "value": value}]))


@pytest.mark.parametrize(
    "body",
    [
        b'{"resourceSpans": [], "resourceSpans": []}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "a", "name": "b"}]}]}]}',
        b'{"resourceSpans": NaN}',
        b'{"unknown": Infinity}',
        b'{"resourceSpans": [{"schemaUrl": "\\ud800"}]}',
        b'{"resourceSpans": [{"schemaUrl": "\\udc00\\ud800"}]}',
        b'\xff\xfe{"resourceSpans": []}',
        b'{"resourceSpans": [{"schemaUrl": "\xff"}]}',
        b'{"resourceSpans": [,]}',
        b'{"resourceSpans": [1',
        b"{'resourceSpans': []}",
        b"",
        b"null",
        b"[]",
        b'"x"',
        b'{"x": 1' + b"0" * 5000 + b"}",
    ],
)
def test_c31_what_is_not_strictly_json_is_malformed_and_never_a_500(client: Any, body: bytes) -> None:
    answer = client.json("traces", body)
    assert answer.status == 400
    assert answer.json["message"]


def nested(kind: str, depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"stringValue": "x"}
    beside = dict(inner)
    for _ in range(depth):
        held = [beside, inner] if kind == "array" else [{"key": "k", "value": inner}]
        inner = {f"{'array' if kind == 'array' else 'kvlist'}Value": {"values": held}}
    return inner


@pytest.mark.parametrize("kind", ["array", "map"])
def test_c40_values_may_be_nested_32_deep_in_either_encoding(
    client: Any, span_json: Any, stored: Callable[..., Any], kind: str
) -> None:
    for depth in (1, 31, 32):
        trace = 4000 + depth + 100 * (kind == "map")
        values = {"deep": nested(kind, depth), "shallow": nested(kind, 1)}
        said = span_json(trace, attributes=[{"key": key, "value": value} for key, value in values.items()])
        assert client.json("traces", said).json == {}
        body = otlp_json.to_protobuf(wire.TRACES, json.dumps(said).encode(), MOST)
        assert client.http("/v1/traces", body).status == 200
        assert client.grpc("traces", body) == b""
        stored(trace, 1)


@pytest.mark.parametrize("kind", ["array", "map"])
@pytest.mark.parametrize("depth", [33, 48, 300, 100_000])
def test_c40_deeper_is_malformed_in_either_encoding_and_never_a_crash(
    client: Any, span_json: Any, otlp: Any, kind: str, depth: int
) -> None:
    held = (
        ('{"arrayValue":{"values":[', "]}}")
        if kind == "array"
        else (
            '{"kvlistValue":{"values":[{"key":"k","value":',
            "}]}}",
        )
    )
    value = held[0] * depth + '{"stringValue":"x"}' + held[1] * depth
    raw = json.dumps(span_json(1, attributes=[{"key": "deep", "value": "HERE"}])).replace('"HERE"', value)
    assert client.json("traces", raw.encode()).status == 400
    inner = b"\x0a\x01x"
    pieces = [inner]
    size = len(inner)
    for _ in range(depth):
        for head in (b"\x0a", b"\x2a") if kind == "array" else (b"\x0a\x01k\x12", b"\x0a", b"\x32"):
            piece = head + varint(size)
            # The key stands before the value inside the pair: its 3 bytes count from the next level on.
            pieces.append(piece)
            size += len(piece)
    deep = b"".join(reversed(pieces))
    attribute = field(9, field(1, b"deep") + field(2, deep))
    body = field(1, field(2, field(2, field(1, b"\x11" * 16) + field(2, b"\x22" * 8) + attribute)))
    assert client.http("/v1/traces", body).status == 400


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content
