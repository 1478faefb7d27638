"""Log records that tell of spans: decoded, kept, and joined to their spans, whichever comes first."""

from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor import wire
from tupletrace.processor.attributes import Attributes, flatten, text, value_text
from tupletrace.processor.decode import identifiers, nanoseconds
from tupletrace.processor.events import BODY, EVALUATION, TELLING
from tupletrace.processor.normalise import told
from tupletrace.processor.schema import statement

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

NONE: Final = pa.table(
    {
        "trace_id": pa.array([], pa.string()),
        "span_id": pa.array([], pa.string()),
        "time_unix_nano": pa.array([], pa.int64()),
        "name": pa.array([], pa.string()),
        "attributes": pa.array([], pa.map_(pa.string(), pa.string())),
        "journal_seq": pa.array([], pa.int64()),
    }
)
_NAME: Final = "event.name"
"""Attribute of a record that was written before records had names of their own."""


def decoded(bodies: list[bytes]) -> pa.Table:
    """Decode log requests into the records that tell of a span: ``request``, ids, time, name, attributes.

    Raises:
        MalformedRequest: a body is not an OTLP logs request.
    """
    resource_logs, request_of = flatten(wire.parse(wire.LOGS, bodies).column("resource_logs"))
    scope_logs, resource_of = flatten(pc.struct_field(resource_logs, "scope_logs"))
    records, scope_of = flatten(pc.struct_field(scope_logs, "log_records"))
    attributes = Attributes.of(pc.struct_field(records, "attributes"))
    named = text(pc.struct_field(records, "event_name"))
    name = pc.coalesce(
        pc.if_else(pc.equal(named, ""), pa.scalar(None, pa.string()), named), attributes.pick([_NAME])
    )
    bodies_said = value_text(pc.struct_field(records, "body"))
    written = nanoseconds(pc.struct_field(records, "time_unix_nano"))
    observed = nanoseconds(pc.struct_field(records, "observed_time_unix_nano"))
    rows = np.arange(len(records), dtype=np.int64)
    keys = pa.array([BODY], pa.string()).take(pa.array(np.zeros(len(records), np.int64)))
    said = attributes.below(rows, keys, pc.fill_null(bodies_said, ""))
    table = pa.table(
        {
            "request": pa.array(request_of[resource_of[scope_of]]),
            "trace_id": identifiers(pc.struct_field(records, "trace_id"), 16),
            "span_id": identifiers(pc.struct_field(records, "span_id"), 8),
            "time_unix_nano": pa.array(np.where(written > 0, written, observed)),
            "name": name,
            "attributes": said.as_map(),
        }
    )
    return table.filter(pc.is_in(table["name"], TELLING))


def apart(records: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the records that tell what is in a span, and those that say how one was judged."""
    judging = pc.equal(records["name"], EVALUATION)
    return records.filter(pc.invert(judging)), records.filter(judging)


def join(connection: duckdb.DuckDBPyConnection, records: pa.Table) -> None:
    """Keep these records, and tell what they and earlier ones say to the spans that they and `batch` hold.

    ``batch``, the spans that were just stored, is registered on the connection.
    """
    connection.register("records", records)
    connection.execute("INSERT INTO log_records BY NAME FROM records")
    connection.execute(statement("statements/gather_records"))
    connection.unregister("records")
    gathered = connection.table("gathered").to_arrow_table()
    connection.register("told", told(gathered))
    for one in statement("statements/tell_spans").split(";\n\n"):
        connection.execute(one)
    connection.unregister("told")
