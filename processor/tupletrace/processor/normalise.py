"""Spans of any GenAI dialect -> canonical columns, still as text; the store's SQL gives them their types."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor import conversation, events, identity, kept, made_up
from tupletrace.processor.attributes import Attributes
from tupletrace.processor.decode import Spans
from tupletrace.processor.sources import Columns
from tupletrace.semconv import names
from tupletrace.semconv.content import CONTENT
from tupletrace.semconv.dialects import COLUMNS

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_PENDING: Final = "logfire.span_type"
_KEPT: Final = ("input_hash", "estimated_input_tokens", "estimated_output_tokens", "estimated_by")
"""What only spans say whose content is gone."""
_LONGEST: Final = 2**16
"""Characters of a column that names or counts something: settling copies them from table to table."""


def canonical(spans: Spans) -> pa.Table:
    """Add the canonical columns, ``dialect`` and ``service_name`` to the decoded table.

    ``kept``: spans that were stored once and have lost their content since, whose columns are as they were.
    """
    table = spans.table
    names_of, starts, statuses, events_of = (
        table.column(column).combine_chunks()
        for column in ("name", "start_unix_nano", "status_code", "events")
    )
    failed = events.failed(spans.attributes, statuses, events_of)
    place = table.column_names.index("status_code")
    table = table.set_column(place, "status_code", pc.if_else(failed, "ERROR", statuses))
    attributes = events.told(spans.attributes, events_of, failed)
    columns = Columns(attributes, names_of, starts, failed)
    found = {column: columns.column(column) for column in COLUMNS} | {"operation_name": columns.operation}
    found["conflicts"] = columns.conflicts(found)
    _complete(attributes, found, failed)
    found["dialect"] = columns.dialect()
    made_up.taken_away(attributes, found)
    found |= dict.fromkeys(_KEPT, pa.nulls(table.num_rows, pa.string()))
    own, found["kept"] = kept.restored(spans.attributes, found)
    if own is not spans.attributes:
        table = table.set_column(table.column_names.index("attributes"), "attributes", own.as_map())
    found["service_name"] = spans.resources.pick([names.SERVICE_NAME]).take(pa.array(spans.resource_of))
    for column, values in found.items():
        table = table.append_column(column, _cut(column, values))
    return _without_pending(spans, table)


def told(gathered: pa.Table) -> pa.Table:
    """Return ids and the canonical columns of what log records say, given as ``events`` of spans."""
    count = gathered.num_rows
    failed = pa.array(np.zeros(count, np.bool_))
    attributes = events.told(Attributes.none(count), gathered["events"].combine_chunks(), failed)
    columns = Columns(attributes, pa.nulls(count, pa.string()), pa.nulls(count, pa.int64()), failed)
    found = {column: columns.column(column) for column in COLUMNS}
    # Messages alone do not say so.
    found["operation_name"] = pc.fill_null(columns.operation, "chat")
    _complete(attributes, found, failed)
    for column, values in found.items():
        gathered = gathered.append_column(column, _cut(column, values))
    return gathered.drop_columns(["events"])


def _complete(attributes: Attributes, found: dict[str, pa.Array], failed: pa.Array) -> None:
    conversation.messages(attributes, found)
    found["tool_definitions"] = pc.coalesce(conversation.tools(attributes), found["tool_definitions"])
    identity.complete(attributes, found, failed)


def _cut(column: str, values: pa.Array) -> pa.Array:
    """Cut what is no content and yet too long; the map of attributes has it whole."""
    if column in CONTENT or not pa.types.is_string(values.type):
        return values
    if (pc.max(pc.binary_length(values)).as_py() or 0) <= _LONGEST:
        return values
    return pc.utf8_slice_codeunits(values, 0, _LONGEST)


def _without_pending(spans: Spans, table: pa.Table) -> pa.Table:
    """Leave out what Logfire sends when a span begins: the span itself follows."""
    if _PENDING not in spans.attributes.keys:
        return table
    pending = pc.equal(spans.attributes.pick([_PENDING]), "pending_span")
    return table.filter(pc.invert(pc.fill_null(pending, False)))
