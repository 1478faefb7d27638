"""OTLP bytes become rows, or a refusal: nothing that a client can send harms a neighbour or crashes."""

import base64
import json
import math
import random
import struct
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tupletrace.processor import decode, records, wire
from tupletrace.processor.refusal import MalformedRequest

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.one_of(st.none(), st.booleans(), INT64, st.floats(), TEXT, st.binary(max_size=8))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)
KEYS = st.one_of(TEXT, st.sampled_from(["", "a", "gen_ai.request.model", "a\0b"]))
PLENTY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rows(*bodies: bytes) -> list[dict[str, Any]]:
    return decode.spans(list(bodies)).table.to_pylist()


def plain(value: AnyValue) -> Any:
    """What JSON should say of a value: the oracle, read by protobuf."""
    match value.WhichOneof("value"):
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value" if math.isnan(value.double_value):
            return "NaN"
        case "double_value" if math.isinf(value.double_value):
            return "Infinity" if value.double_value > 0 else "-Infinity"
        case None:
            return None
        case kind:
            return getattr(value, kind)


def agrees(text: str | None, value: AnyValue) -> bool:
    """Whether the stored text says what the documentation promises for this value."""
    match value.WhichOneof("value"):
        case None:
            return text is None
        case "string_value":
            return text == value.string_value
        case "bool_value":
            return text == str(value.bool_value).lower()
        case "int_value":
            return text == str(value.int_value)
        case "bytes_value":
            return text == base64.b64encode(value.bytes_value).decode()
        case "double_value":
            number = float(str(text))
            return number == value.double_value or (math.isnan(number) and math.isnan(value.double_value))
        case _:
            # Strictly: what is not JSON for everybody (a bare NaN) is none.
            return json.loads(str(text), parse_constant=pytest.fail) == plain(value)


@PLENTY
@given(st.lists(st.lists(st.tuples(KEYS, VALUES), max_size=6), min_size=1, max_size=4))
def test_attributes_of_any_kind_survive_as_text_or_json(otlp: Any, spans: list[list[Any]]) -> None:
    """The last of several values of one key wins; arrays and key-value lists are JSON, bytes are base64."""
    made = [otlp.span(span=i, attributes=pairs) for i, pairs in enumerate(spans, 1)]
    for span, row in zip(made, rows(otlp.request(*made)), strict=True):
        last = {pair.key: pair.value for pair in span.attributes}
        stored = dict(row["attributes"])
        assert len(stored) == len(row["attributes"])
        assert stored.keys() == last.keys()
        for key, value in last.items():
            assert agrees(stored[key], value), (key, stored[key], value)


@PLENTY
@given(st.dictionaries(KEYS, VALUES, max_size=5), TEXT, TEXT, INT64)
def test_resource_events_and_links_survive_like_attributes(
    otlp: Any, attributes: dict[str, Any], name: str, state: str, count: int
) -> None:
    span = otlp.span(name=name, trace_state=state)
    span.events.add(name=name, time_unix_nano=count % 2**63).attributes.extend(otlp.key_values(attributes))
    span.links.add(trace_id=b"\xab" * 16, span_id=b"\xcd" * 8).attributes.extend(otlp.key_values(attributes))
    span.links.add(trace_id=b"short", span_id=b"\xcd" * 8)
    (row,) = rows(otlp.request(span, resource={"first": 1} | attributes))
    assert (row["name"], row["trace_state"]) == (name, state)
    ((event,), (link,)) = row["events"], row["links"]
    assert (event["name"], event["time_unix_nano"]) == (name, count % 2**63)
    assert (link["trace_id"], link["span_id"]) == ("ab" * 16, "cd" * 8)
    for stored in (event["attributes"], link["attributes"], row["resource_attributes"]):
        kept = dict(stored)
        assert all(agrees(kept[key], otlp.any_value(value)) for key, value in attributes.items())


@PLENTY
@given(
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.one_of(st.none(), st.binary(max_size=9), st.just(b"\x01" * 8)),
)
def test_times_and_enums_of_any_size_are_kept_or_clamped(
    otlp: Any, times: tuple[int, int], kind: int, status: int, parent: bytes | None
) -> None:
    """C35, C38: beyond 2^63 a time is the largest one; an end before the start lasts nothing."""
    start, end = times
    span, neighbour = otlp.span(start=start, end=end), otlp.span(span=2)
    span.ClearField("kind")
    span.MergeFromString(b"\x30" + varint(kind & (2**64 - 1)))
    span.status.MergeFromString(b"\x18" + varint(status & (2**64 - 1)))
    span.parent_span_id = parent or b""
    row, after = rows(otlp.request(span, neighbour))
    top = 2**63 - 1
    assert row["start_unix_nano"] == min(start, top)
    assert row["duration_ns"] == max(min(end, top) - min(start, top), 0)
    kinds = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
    assert row["kind"] == (kinds[kind] if 0 <= kind < len(kinds) else str(kind))
    assert row["status_code"] == (["UNSET", "OK", "ERROR"][status] if 0 <= status < 3 else str(status))
    is_parent = parent is not None and len(parent) == 8 and any(parent)
    assert row["parent_span_id"] == (parent.hex() if parent and is_parent else None)
    assert after["start_unix_nano"] == neighbour.start_time_unix_nano


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


@PLENTY
@given(st.binary(min_size=3, max_size=12))
def test_invalid_utf8_is_repaired_where_it_stands_and_harms_no_neighbour(otlp: Any, raw: bytes) -> None:
    """C39, F25: every string of a span, a scope, a resource, an event; protobuf refuses the whole request."""
    placeholder = "\x01" * len(raw)
    span = otlp.span(name=placeholder, attributes={placeholder: placeholder, "ours": "kept"})
    span.events.add(name=placeholder)
    span.status.message = placeholder
    body = otlp.request(span, otlp.span(span=2, name="neighbour"), resource={placeholder: placeholder})
    row, neighbour = rows(body.replace(placeholder.encode(), raw))
    repaired = raw.decode("utf-8", "replace")
    assert (row["name"], row["status_message"]) == (repaired, repaired)
    assert {repaired: repaired, "ours": "kept"}.items() <= dict(row["attributes"]).items()
    assert row["events"][0]["name"] == repaired
    assert dict(row["resource_attributes"]) == {repaired: repaired}
    assert neighbour["name"] == "neighbour"


def test_invalid_utf8_inside_an_array_is_repaired_like_any_other(otlp: Any) -> None:
    values = {"list": ["a", "\x01\x01", 7], "map": {"k": {"\x01\x01": "b"}}, "ours": ["kept"]}
    (row,) = rows(otlp.request(otlp.span(attributes=values)).replace(b"\x01\x01", b"\xff\xfe"))
    stored = dict(row["attributes"])
    assert json.loads(stored["list"]) == ["a", "\ufffd\ufffd", 7]
    assert json.loads(stored["map"]) == {"k": {"\ufffd\ufffd": "b"}}
    assert json.loads(stored["ours"]) == ["kept"]


def test_a_span_without_anything_but_ids_is_a_row(otlp: Any) -> None:
    span = otlp.span(name="", start=0, end=0)
    (row,) = rows(otlp.request(span))
    assert (row["name"], row["start_unix_nano"], row["duration_ns"]) == ("", 0, 0)
    assert (row["attributes"], row["events"], row["links"]) == ([], [], [])
    assert (row["kind"], row["status_code"], row["parent_span_id"]) == ("UNSPECIFIED", "UNSET", None)


def test_envelopes_without_spans_or_resource_or_scope_are_no_fault(otlp: Any) -> None:
    """C12."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add()
    request.resource_spans.add().scope_spans.add()
    request.resource_spans.add().scope_spans.add().spans.append(otlp.span(name="alone"))
    empty = ExportTraceServiceRequest().SerializeToString()
    found = decode.spans([empty, request.SerializeToString(), empty])
    assert [(row["name"], row["request"]) for row in found.table.to_pylist()] == [("alone", 1)]
    assert decode.spans([]).table.num_rows == 0


def test_each_span_keeps_the_resource_and_scope_that_it_came_with(otlp: Any) -> None:
    bodies = []
    for i in range(1, 4):
        request = ExportTraceServiceRequest()
        for service in range(i):
            resource = request.resource_spans.add()
            resource.resource.attributes.extend(otlp.key_values({"service.name": f"{i}.{service}"}))
            for scope in range(i):
                scopes = resource.scope_spans.add()
                scopes.scope.name = f"{i}.{service}.{scope}"
                scopes.spans.extend(
                    otlp.span(i, n, name=f"{i}.{service}.{scope}.{n}") for n in range(1, i + 1)
                )
        bodies.append(request.SerializeToString())
    found = rows(*bodies)
    assert len(found) == 1 + 8 + 27
    for row in found:
        assert row["name"].startswith(row["scope_name"] + ".")
        assert row["scope_name"].startswith(dict(row["resource_attributes"])["service.name"] + ".")
        assert row["name"][0] == str(row["request"] + 1)


def test_ten_thousand_attributes_and_a_long_key_are_taken(otlp: Any) -> None:
    """F21."""
    attributes = {f"key.{i}": i for i in range(10_000)} | {"k" * 2**20: "long", "": "empty"}
    row, neighbour = rows(otlp.request(otlp.span(attributes=attributes), otlp.span(span=2, name="neighbour")))
    assert {key: str(value) for key, value in attributes.items()} == dict(row["attributes"])
    assert neighbour["name"] == "neighbour"


@pytest.mark.parametrize("kind", ["array", "map"])
@pytest.mark.parametrize("depth", [10, 31, 33, 47, 100, 1000, 30_000])
def test_deep_nesting_is_an_answer_in_no_time_and_harms_no_neighbour(
    otlp: Any, kind: str, depth: int
) -> None:
    """F22: up to 31 levels are kept as they are; what is deeper stays as bytes."""
    inner = b"\x0a\x01x"
    for _ in range(depth):
        if kind == "array":
            inner = field(5, field(1, inner))
        else:
            inner = field(6, field(1, field(1, b"k") + field(2, inner)))
    body = otlp.request(otlp.span(attributes={"ours": ["kept"]}), otlp.span(span=2, name="neighbour"))
    raw = field(1, b"\x11" * 16) + field(2, b"\x22" * 8) + field(9, field(1, b"deep") + field(2, inner))
    deep = field(1, field(2, field(2, raw)))
    began = time.process_time()
    first, neighbour, last = rows(body + deep)
    assert time.process_time() - began < 5
    assert (dict(first["attributes"]), neighbour["name"]) == ({"ours": '["kept"]'}, "neighbour")
    stored = dict(last["attributes"])["deep"]
    if depth <= 31:
        found = json.loads(stored)
        for _ in range(depth):
            (found,) = found if kind == "array" else found.values()
        assert found == "x"
    else:
        assert json.loads(stored)


def field(number: int, content: bytes) -> bytes:
    """One length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


@PLENTY
@given(st.randoms(use_true_random=False), st.integers(1, 8))
def test_mutated_bytes_are_a_refusal_or_rows(otlp: Any, chance: random.Random, changes: int) -> None:
    """Also what is checked before the acknowledgement and what is decoded after it agree."""
    values = {"s": "text", "i": -1, "d": 0.5, "b": True, "n": None, "l": [1, ["x"]], "m": {"k": b"\0"}}
    span = otlp.span(attributes=values, parent=9)
    span.events.add(name="event").attributes.extend(otlp.key_values(values))
    span.links.add(trace_id=b"\1" * 16, span_id=b"\1" * 8)
    body = bytearray(otlp.request(span, otlp.call(span=2), resource=values))
    for _ in range(changes):
        at = chance.randrange(len(body))
        match chance.randrange(4):
            case 0:
                body[at] = chance.randrange(256)
            case 1:
                body[at] ^= 1 << chance.randrange(8)
            case 2:
                del body[at : at + chance.randrange(1, 9)]
            case _:
                body[at:at] = chance.randbytes(chance.randrange(1, 9))
        if not body:
            break
    try:
        found = records.examine(wire.TRACES, bytes(body))
    except MalformedRequest:
        return
    table = decode.spans([found.body]).table
    assert table.num_rows == found.kept
    table.validate(full=True)
    # Others, to whom it is passed on, can read it as well.
    ExportTraceServiceRequest.FromString(found.body)


@PLENTY
@given(st.binary(max_size=200))
def test_random_bytes_are_a_refusal_or_rows(body: bytes) -> None:
    try:
        decode.spans([body]).table.validate(full=True)
    except MalformedRequest:
        return


def test_a_value_that_carries_several_kinds_takes_one_of_them() -> None:
    """Two fields of a oneof on the wire, which no client sends."""
    two = field(1, b"text") + b"\x18\x07" + b"\x21" + struct.pack("<d", 0.5)
    raw = field(1, b"\x11" * 16) + field(2, b"\x22" * 8) + field(9, field(1, b"two") + field(2, two))
    (row,) = rows(field(1, field(2, field(2, raw))))
    assert dict(row["attributes"])["two"] in ("text", "7", "0.5")


def test_what_is_kept_of_a_request_with_faults_can_be_read_by_everybody(otlp: Any) -> None:
    """F22: unknown groups in one another, as deep as a record may have them, and too deep in a request."""
    depth = 98
    groups = b"\xc3\x3e" * depth + b"\xc4\x3e" * depth
    deep = otlp.span(1).SerializeToString() + groups
    assert Span.FromString(deep)
    scope = b"".join(b"\x12" + varint(len(one)) + one for one in (deep, otlp.span(0).SerializeToString()))
    resource = b"\x12" + varint(len(scope)) + scope
    with pytest.raises(MalformedRequest):
        records.examine(wire.TRACES, b"\x0a" + varint(len(resource)) + resource)
