"""C32-C39: what is valid, what is kept as it came, what harms no neighbour."""

import gzip
import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tupletrace.processor import journal


def journalled(processor: Any) -> list[bytes]:
    """Every body in the journal."""
    found = journal.read(journal.journal_folder(processor.database), 0, 2**30)
    return [request.body for batch in found for request in batch]


@pytest.mark.parametrize(
    ("trace_id", "span_id"),
    [
        (b"", None),
        (bytes(16), None),
        (b"\1" * 15, None),
        (b"\1" * 17, None),
        (None, b""),
        (None, bytes(8)),
        (None, b"\1" * 7),
        (None, b"\1" * 9),
    ],
)
def test_c32_a_span_with_an_invalid_id_is_refused_alone(
    client: Any, otlp: Any, answered: Any, stored: Any, trace_id: bytes | None, span_id: bytes | None
) -> None:
    bad = otlp.span(3200, 9)
    bad.trace_id = bad.trace_id if trace_id is None else trace_id
    bad.span_id = bad.span_id if span_id is None else span_id
    body = otlp.request(otlp.span(3200, 1), bad, otlp.span(3200, 2))
    said = answered("traces", client.grpc("traces", body)).partial_success
    assert said.rejected_spans == 1
    assert "trace_id" in said.error_message
    assert [row["span_id"] for row in stored(3200, 2)] == [f"{1:016x}", f"{2:016x}"]


def test_c32_a_log_record_without_a_trace_is_no_fault(client: Any) -> None:
    """Its trace is optional, and OTLP says to overlook one that is invalid."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(severity_number=9)
    records.add(severity_number=9, trace_id=bytes(16), span_id=b"short")
    assert client.grpc("logs", request.SerializeToString()) == b""


def test_c33_values_of_every_kind_come_back(client: Any, otlp: Any, stored: Any) -> None:
    sent = {
        "string": "text",
        "empty": "",
        "bool": True,
        "least": -(2**63),
        "most": 2**63 - 1,
        "double": 0.1,
        "nan": float("nan"),
        "inf": float("inf"),
        "bytes": b"\0\xff",
        "array": ["a", 1, None, [True], {"k": b"\1"}],
        "map": {"a": {"b": [1.5]}, "": "x"},
        "none": None,
    }
    assert client.grpc("traces", otlp.request(otlp.span(3300, attributes=sent))) == b""
    stored(3300, 1)

    def value(key: str) -> Any:
        asked = "SELECT attributes[$key] AS v FROM spans WHERE trace_id = $trace"
        return client.processor.sql(asked, {"key": key, "trace": f"{3300:032x}"})[0]["v"]

    assert (value("string"), value("empty"), value("none")) == ("text", "", None)
    assert (value("least"), value("most")) == (str(-(2**63)), str(2**63 - 1))
    assert (value("bool"), value("double"), value("bytes")) == ("true", "0.1", "AP8=")
    assert (value("nan").lower(), value("inf").lower()) == ("nan", "inf")
    assert json.loads(value("array")) == ["a", 1, None, [True], {"k": "AQ=="}]
    assert json.loads(value("map")) == {"a": {"b": [1.5]}, "": "x"}


def test_c34_an_index_into_a_table_of_strings_is_absent_and_counted(
    client: Any, otlp: Any, stored: Any
) -> None:
    """Only profiles have such tables."""
    span = otlp.span(3400, attributes={"plain": "kept"})
    span.attributes.add(key="by_index").value.string_value_strindex = 3
    span.attributes.add(key_strindex=4).value.string_value = "nameless"
    assert client.grpc("traces", otlp.request(span)) == b""
    stored(3400, 1)
    asked = f"SELECT map_keys(attributes) AS k FROM spans WHERE trace_id = '{3400:032x}'"
    (row,) = client.processor.sql(asked)
    assert "plain" in row["k"]
    assert "" not in row["k"]
    assert client.processor.metric("tupletrace_oddities_total", kind="string_index") >= 2


def test_c35_enum_values_that_are_not_yet_defined_are_kept(client: Any, otlp: Any, stored: Any) -> None:
    span = otlp.span(3500, name="")
    span.kind, span.status.code = 77, 78
    assert client.grpc("traces", otlp.request(span)) == b""
    (row,) = stored(3500, 1)
    assert (row["kind"], row["status_code"], row["name"]) == ("77", "78", "")


def test_c36_of_equal_keys_the_last_one_counts_and_it_is_counted(client: Any, otlp: Any, stored: Any) -> None:
    before = client.processor.metric("tupletrace_oddities_total", kind="duplicate_attribute")
    span = otlp.span(3600, attributes=[("k", "first"), ("other", 1), ("k", "last")])
    assert client.grpc("traces", otlp.request(span)) == b""
    stored(3600, 1)
    asked = f"SELECT attributes['k'] AS k FROM spans WHERE trace_id = '{3600:032x}'"
    assert client.processor.sql(asked) == [{"k": "last"}]
    assert client.processor.metric("tupletrace_oddities_total", kind="duplicate_attribute") == before + 1


def test_c37_what_was_accepted_is_in_the_journal_to_the_last_field(client: Any, otlp: Any) -> None:
    """Also fields that no column shows: flags, counts of what was dropped, schemas, attributes of scopes."""
    traces = ExportTraceServiceRequest()
    resource = traces.resource_spans.add(schema_url="https://schema/resource")
    resource.resource.dropped_attributes_count = 3
    scope = resource.scope_spans.add(schema_url="https://schema/scope")
    scope.scope.name, scope.scope.dropped_attributes_count = "scope", 4
    scope.scope.attributes.extend(otlp.key_values({"of": "scope"}))
    span = otlp.span(3700, parent=8, trace_state="a=b,c=d", flags=0x301, attributes={"k": [1, {"m": b"\0"}]})
    span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count = 5, 6, 7
    event = span.events.add(name="event", time_unix_nano=1, dropped_attributes_count=8)
    event.attributes.extend(otlp.key_values({"e": 1}))
    link = span.links.add(trace_id=b"\3" * 16, span_id=b"\4" * 8, trace_state="x=y", flags=0x100)
    link.dropped_attributes_count = 9
    scope.spans.append(span)

    metrics = ExportMetricsServiceRequest()
    of = metrics.resource_metrics.add().scope_metrics.add().metrics
    of.add(name="gauge").gauge.data_points.add(as_double=0.5, time_unix_nano=1)
    summed = of.add(name="sum", unit="1", description="d")
    summed.sum.is_monotonic, summed.sum.aggregation_temporality = True, 2
    point = summed.sum.data_points.add(as_int=-(2**63))
    point.exemplars.add(as_int=3, trace_id=b"\1" * 16, span_id=b"\2" * 8)
    histogram = of.add(name="histogram").histogram.data_points.add(count=3, sum=1.5, min=0.1, max=1.0)
    histogram.bucket_counts.extend([1, 2])
    histogram.explicit_bounds.append(0.5)
    exponential = of.add(name="exponential").exponential_histogram.data_points.add(scale=-1, zero_count=2)
    exponential.positive.bucket_counts.extend([1, 0, 3])
    quantile = of.add(name="summary").summary.data_points.add(count=1).quantile_values.add()
    quantile.quantile, quantile.value = 0.99, 2.0

    logs = ExportLogsServiceRequest()
    record = (
        logs.resource_logs.add()
        .scope_logs.add()
        .log_records.add(
            time_unix_nano=1, observed_time_unix_nano=2, severity_number=9, severity_text="INFO", flags=1
        )
    )
    record.event_name, record.trace_id, record.span_id = "event", b"\1" * 16, b"\2" * 8
    record.body.CopyFrom(otlp.any_value({"k": ["deep", {"er": 1}]}))
    for signal, request in (("traces", traces), ("metrics", metrics), ("logs", logs)):
        assert client.grpc(signal, request.SerializeToString()) == b""
        assert request.SerializeToString() in journalled(client.processor)


def test_c38_an_end_before_the_start_is_accepted_and_counted(client: Any, otlp: Any, stored: Any) -> None:
    before = client.processor.metric("tupletrace_oddities_total", kind="end_before_start")
    assert client.grpc("traces", otlp.request(otlp.span(3800, start=otlp.noon, end=otlp.noon - 5))) == b""
    (row,) = stored(3800, 1)
    assert row["duration_ns"] == 0
    assert client.processor.metric("tupletrace_oddities_total", kind="end_before_start") == before + 1


def test_c39_text_that_is_not_utf8_refuses_its_span_alone_wherever_it_stands(
    client: Any, otlp: Any, answered: Any, stored: Any
) -> None:
    """Nested, in an event, as a key; what is journalled can be read by everybody."""
    mark = "\x01\x02"
    spans = [otlp.span(3900, number) for number in range(1, 9)]
    spans[0].name = mark
    spans[1].attributes.extend(otlp.key_values({mark: 1}))
    spans[2].attributes.extend(otlp.key_values({"list": ["a", [mark]]}))
    spans[3].events.add(name=mark)
    spans[4].links.add(trace_id=b"\1" * 16, span_id=b"\1" * 8, trace_state=mark)
    spans[5].status.message = mark
    body = otlp.request(*spans).replace(mark.encode(), b"\xc3\x28")
    said = answered("traces", client.grpc("traces", body)).partial_success
    assert said.rejected_spans == 6
    assert [row["span_id"] for row in stored(3900, 2)] == [f"{7:016x}", f"{8:016x}"]
    answer = client.http("/v1/traces", gzip.compress(body), Content_Encoding="gzip")
    assert answered("traces", answer.body).partial_success.rejected_spans == 6
    for kept in journalled(client.processor):
        if b"\x0f\x3c" in kept and b"tests" in kept:
            ExportTraceServiceRequest.FromString(kept)


def test_f25_text_that_is_valid_and_strange_comes_back_to_the_byte(
    client: Any, otlp: Any, stored: Any
) -> None:
    strange = "nul\0 bidi\u202e zero\u200b four\U0001f600 esc\x1b[2J line\u2028 \ufeff \ufffd"
    assert client.grpc("traces", otlp.request(otlp.span(3925, name=strange))) == b""
    (row,) = stored(3925, 1)
    assert row["name"] == strange


def test_f14_f26_records_of_every_oddity_harm_no_other_in_their_batch(
    client: Any, otlp: Any, answered: Any, stored: Any
) -> None:
    """Clocks a day off, 1970 and beyond 2262, ends before starts, unknown enums, unset fields, broken ids."""
    day, most = 86_400_000_000_000, 2**64 - 1
    times = [
        (otlp.noon - day, otlp.noon),
        (otlp.noon + day, otlp.noon),
        (0, 0),
        (0, most),
        (most, most),
        (most, 0),
    ]
    odd = [otlp.span(3914, number, start=start, end=end) for number, (start, end) in enumerate(times, 1)]
    odd.append(otlp.span(3914, 7, name="", kind=77))
    odd[-1].status.code = 77
    odd.append(otlp.span(3914, 8, 8))
    broken = [otlp.span(3914, 9), otlp.span(3914, 10)]
    broken[0].trace_id, broken[1].span_id = b"short", bytes(8)
    answer = client.http("/v1/traces", otlp.request(*odd, *broken))
    assert answer.status == 200
    assert answered("traces", answer.body).partial_success.rejected_spans == 2
    rows = stored(3914, 8)
    assert [row["start_unix_nano"] for row in rows[:2]] == [otlp.noon - day, otlp.noon + day]
    assert all(row["duration_ns"] >= 0 for row in rows)
    assert rows[0]["duration_ns"] == day
    assert (rows[6]["kind"], rows[6]["status_code"], rows[7]["parent_span_id"]) == (
        "77",
        "77",
        rows[7]["span_id"],
    )


HOSTILE = ["$.*", "$[*]", 'a"b', "it's", "x'; DROP TABLE spans; --", "$1", "{}", "a.b[0]", "%", "\\", "../x"]


def test_f34_a_name_that_is_sql_or_a_path_into_json_is_a_name(client: Any, otlp: Any, stored: Any) -> None:
    """As a key of attributes and of a resource, as a user and as a route."""
    named = {name: f"value of {number}" for number, name in enumerate(HOSTILE)}
    spans = [
        otlp.call(34_000 + number, 1, attributes={**named, "user.id": name, "tupletrace.route": name})
        for number, name in enumerate(HOSTILE)
    ]
    assert client.grpc("traces", otlp.request(*spans, resource={"service.name": "s", **named})) == b""
    for number in range(len(HOSTILE)):
        stored(34_000 + number, 1)
    for name, value in named.items():
        asked = (
            "SELECT DISTINCT attributes[$1] AS a, resource_attributes[$1] AS r FROM spans WHERE user_id = $1"
        )
        assert client.processor.sql(asked, [name]) == [{"a": value, "r": value}], name
        assert client.processor.sql("SELECT count(*) AS n FROM spans WHERE route = $1", [name]) == [{"n": 1}]
