"""What the journal keeps of a span whose content is gone: OTLP, with the canonical columns as once found.

They could not be found again: a prompt's version may come from its text, tokens from a response.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tupletrace.processor.attributes import Attributes
from tupletrace.processor.sources import extract
from tupletrace.semconv.dialects import AT_PATH

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

KEY: Final = "tupletrace.kept"
"""Attribute of such a span: its canonical columns, as JSON."""
_UNREADABLE: Final = "unreadable"
_FIELDS: Final = {
    "trace_id",
    "span_id",
    "parent_span_id",
    "trace_state",
    "flags",
    "name",
    "kind",
    "service_name",
    "start_time",
    "start_unix_nano",
    "duration_ns",
    "day",
    "status_code",
    "status_message",
    "scope_name",
    "scope_version",
    "scope_attributes",
    "schema_url",
    "resource_schema_url",
    "dropped_attributes_count",
    "dropped_events_count",
    "dropped_links_count",
    "attributes",
    "resource_attributes",
    "events",
    "links",
    "conflicts",
    "model_revision",
    "usage_unreadable",
    "journal_seq",
}
"""Columns of ``spans`` that OTLP itself has, or that are made of others."""
Row = Mapping[str, Any]
Map = list[tuple[str, str]]


def restored(attributes: Attributes, found: dict[str, pa.Array]) -> tuple[Attributes, pa.Array]:
    """Put what was once found in the place of what is found now; return the other attributes, and where."""
    said = attributes.pick([KEY])
    where = pc.is_valid(said)
    if said.null_count < len(said):
        texts = [column for column in found if column not in _FIELDS]
        columns = extract(said, [f"{AT_PATH}'$.{column}')" for column in texts])
        for column, before in zip(texts, columns, strict=True):
            found[column] = pc.if_else(where, before, found[column])
        attributes = attributes.without(KEY)
    return attributes, where


def traces(rows: Iterable[Row]) -> bytes:
    """Return rows of ``spans``, whose content is gone already, as an OTLP request."""
    request = ExportTraceServiceRequest()
    resources: dict[Any, Any] = {}
    scopes: dict[Any, Any] = {}
    for row in rows:
        of = (_frozen(row["resource_attributes"]), row["resource_schema_url"])
        if of not in resources:
            resources[of] = request.resource_spans.add(schema_url=of[1] or "")
            resources[of].resource.attributes.extend(_key_values(row["resource_attributes"]))
        within = (
            *of,
            row["scope_name"],
            row["scope_version"],
            row["schema_url"],
            _frozen(row["scope_attributes"]),
        )
        if within not in scopes:
            scopes[within] = resources[of].scope_spans.add(schema_url=row["schema_url"] or "")
            scope = scopes[within].scope
            scope.name, scope.version = row["scope_name"] or "", row["scope_version"] or ""
            scope.attributes.extend(_key_values(row["scope_attributes"]))
        scopes[within].spans.append(_span(row))
    return request.SerializeToString()


def logs(rows: Iterable[Row]) -> bytes:
    """Return log records that tell of spans, whose content is gone already, as an OTLP request."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for row in rows:
        records.add(
            trace_id=bytes.fromhex(row["trace_id"] or ""),
            span_id=bytes.fromhex(row["span_id"] or ""),
            time_unix_nano=row["time_unix_nano"],
            event_name=row["name"],
            attributes=_key_values(row["attributes"]),
        )
    return request.SerializeToString()


def _span(row: Row) -> Span:
    span = Span(
        trace_id=bytes.fromhex(row["trace_id"]),
        span_id=bytes.fromhex(row["span_id"]),
        parent_span_id=bytes.fromhex(row["parent_span_id"] or ""),
        trace_state=row["trace_state"] or "",
        flags=row["flags"] or 0,
        name=row["name"] or "",
        kind=_code(Span.SpanKind, "SPAN_KIND_", row["kind"]),
        start_time_unix_nano=row["start_unix_nano"],
        end_time_unix_nano=row["start_unix_nano"] + row["duration_ns"],
        attributes=_key_values(row["attributes"]),
        dropped_attributes_count=row["dropped_attributes_count"] or 0,
        dropped_events_count=row["dropped_events_count"] or 0,
        dropped_links_count=row["dropped_links_count"] or 0,
    )
    span.status.code = _code(Status.StatusCode, "STATUS_CODE_", row["status_code"])
    for event in row["events"] or ():
        span.events.add(
            time_unix_nano=event["time_unix_nano"],
            name=event["name"],
            attributes=_key_values(event["attributes"]),
        )
    for link in row["links"] or ():
        span.links.add(
            trace_id=bytes.fromhex(link["trace_id"]),
            span_id=bytes.fromhex(link["span_id"]),
            attributes=_key_values(link["attributes"]),
        )
    span.attributes.extend(_key_values([(KEY, columns(row))]))
    return span


def columns(row: Row) -> str:
    """Return the canonical columns of a row of ``spans`` as the value of ``KEY``."""
    said = {column: value for column, value in row.items() if column not in _FIELDS and value is not None}
    if row["usage_unreadable"]:
        unread = [name for name in row if name.endswith("_tokens") and row[name] is None]
        said |= dict.fromkeys(unread, _UNREADABLE)
    return json.dumps(said, default=str, ensure_ascii=False)


def _code(enum: Any, prefix: str, label: str) -> Any:
    return int(label) if label.isdigit() else enum.Value(prefix + label)


def _frozen(said: Map | None) -> tuple[tuple[str, str], ...]:
    return tuple(said or ())


def _key_values(said: Map | None) -> list[KeyValue]:
    made = [KeyValue(key=key) for key, _ in said or ()]
    for one, (_, value) in zip(made, said or (), strict=True):
        one.value.string_value = value
    return made
