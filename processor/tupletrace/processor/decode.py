"""Raw OTLP trace requests -> one Arrow row a span."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor import metrics, wire
from tupletrace.processor.attributes import Attributes, Indices, flatten, list_offsets, sizes, text
from tupletrace.processor.limits import MAX_REPEATED

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_HEX: Final = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)
_INT64_MAX: Final = np.uint64(2**63 - 1)
_KINDS: Final = pa.array(["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"])
_NUMBERS: Final = ("flags", "dropped_attributes_count", "dropped_events_count", "dropped_links_count")
_STATUSES: Final = pa.array(["UNSET", "OK", "ERROR"])


class TooWide(ValueError):
    """What surrounds the spans of some requests would, said with each of them, be too much for one batch."""


@dataclass(frozen=True, slots=True)
class Spans:
    """The valid spans of some requests.

    ``table`` has one row a span: ``request`` (index of the body it came in), ids as lower-case hex,
    times in nanoseconds, ``attributes``/``resource_attributes`` as maps (the second a dictionary of them),
    ``events``, ``links``. ``attributes`` and ``resources`` hold the same attributes for picking single keys.
    """

    table: pa.Table
    attributes: Attributes
    resources: Attributes
    resource_of: Indices
    """The place of each span's resource in ``resources``."""


def spans(bodies: list[bytes]) -> Spans:
    """Decode trace requests; spans with an invalid id are left out.

    Raises:
        MalformedRequest: a body is not an OTLP trace request.
        TooWide: fewer of them at once may be read.
    """
    resource_spans, request_of = flatten(wire.parse(wire.TRACES, bodies).column("resource_spans"))
    scope_spans, resource_of = flatten(pc.struct_field(resource_spans, "scope_spans"))
    found, scope_of = flatten(pc.struct_field(scope_spans, "spans"))
    valid = _valid(found)
    if not valid.all():
        found, scope_of = found.filter(pa.array(valid)), scope_of[valid]
    resource_row = resource_of[scope_of]

    resources = _resource_attributes(resource_spans)
    attributes = Attributes.of(pc.struct_field(found, "attributes"))
    start = _clamped(pc.struct_field(found, "start_time_unix_nano"))
    end = _clamped(pc.struct_field(found, "end_time_unix_nano"))
    if backwards := int((end < start).sum()):
        metrics.ODDITIES.labels("end_before_start").inc(backwards)
    scope = pc.struct_field(scope_spans, "scope")
    scopes = Attributes.of(pc.struct_field(scope, "attributes"))
    schemas = (pc.struct_field(resource_spans, "schema_url"), pc.struct_field(scope_spans, "schema_url"))
    named = (pc.struct_field(scope, "name"), pc.struct_field(scope, "version"))
    repeated = int(_said(resources, schemas[0])[resource_row].sum())
    repeated += int(_said(scopes, schemas[1], *named)[scope_of].sum())
    if repeated > MAX_REPEATED:
        raise TooWide(f"resources and scopes have {repeated} bytes, said with each of their spans")
    status = pc.struct_field(found, "status")
    table = pa.table(
        {
            "request": pa.array(request_of[resource_row]),
            "trace_id": _hex(pc.struct_field(found, "trace_id"), 16),
            "span_id": _hex(pc.struct_field(found, "span_id"), 8),
            "parent_span_id": _parent(pc.struct_field(found, "parent_span_id")),
            "trace_state": text(pc.struct_field(found, "trace_state")),
            "name": text(pc.struct_field(found, "name")),
            "kind": _label(pc.struct_field(found, "kind"), _KINDS),
            "start_unix_nano": pa.array(start),
            "duration_ns": pa.array(np.maximum(end - start, 0)),
            "status_code": _label(pc.struct_field(status, "code"), _STATUSES),
            "status_message": text(pc.struct_field(status, "message")),
            "scope_name": text(pc.struct_field(scope, "name")).take(pa.array(scope_of)),
            "scope_version": text(pc.struct_field(scope, "version")).take(pa.array(scope_of)),
            "scope_attributes": scopes.take(scope_of).as_map(),
            "schema_url": text(pc.struct_field(scope_spans, "schema_url")).take(pa.array(scope_of)),
            "resource_schema_url": text(pc.struct_field(resource_spans, "schema_url")).take(
                pa.array(resource_row)
            ),
            **{name: pc.struct_field(found, name).cast(pa.int64()) for name in _NUMBERS},
            "attributes": attributes.as_map(),
            # A map costs DuckDB more than all columns of text together: here it gets each one once.
            "resource_attributes": pa.DictionaryArray.from_arrays(pa.array(resource_row), resources.as_map()),
            "events": _events(pc.struct_field(found, "events")),
            "links": _links(pc.struct_field(found, "links")),
        }
    )
    return Spans(table, attributes, resources, resource_row)


def _valid(spans: pa.Array) -> npt.NDArray[np.bool_]:
    trace_id, span_id = pc.struct_field(spans, "trace_id"), pc.struct_field(spans, "span_id")
    return _valid_id(trace_id, 16) & _valid_id(span_id, 8)


def _resource_attributes(resource_spans: pa.Array) -> Attributes:
    return Attributes.of(pc.struct_field(pc.struct_field(resource_spans, "resource"), "attributes"))


def _said(of: Attributes, *texts: pa.Array) -> npt.NDArray[np.float64]:
    """Return how many bytes each record's attributes and texts have."""
    keys = np.array([len(key) for key in of.keys], np.int64)[of.codes]
    own = np.bincount(of.rows, (keys + sizes(of.values)).astype(np.float64), of.count)
    return np.sum([own, *map(sizes, texts)], axis=0)


def _valid_id(ids: pa.Array, size: int) -> npt.NDArray[np.bool_]:
    right_size = pc.equal(pc.binary_length(ids), size)
    zero = pc.equal(ids, pa.scalar(bytes(size), pa.binary()))
    return pc.and_(right_size, pc.invert(zero)).to_numpy(zero_copy_only=False)


def _hex(ids: pa.Array, size: int) -> pa.Array:
    """Return ids of exactly ``size`` bytes as lower-case hex."""
    raw = np.frombuffer(b"".join(ids.to_pylist()), np.uint8)
    digits = _HEX[raw].tobytes()
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * (2 * size)
    return pa.Array.from_buffers(pa.string(), len(ids), [None, pa.py_buffer(offsets), pa.py_buffer(digits)])


def _parent(ids: pa.Array) -> pa.Array:
    valid = pa.array(_valid_id(ids, 8))
    known = _hex(pc.if_else(valid, ids, pa.scalar(bytes(8), pa.binary())), 8)
    return pc.if_else(valid, known, pa.scalar(None, pa.string()))


def _clamped(times: pa.Array) -> Indices:
    raw = times.to_numpy(zero_copy_only=False)
    if beyond := int((raw > _INT64_MAX).sum()):
        metrics.ODDITIES.labels("time_clamped").inc(beyond)
    return np.minimum(raw, _INT64_MAX).astype(np.int64)


def _label(codes: pa.Array, labels: pa.Array) -> pa.Array:
    """Return an enum's label; a number that this version of OTLP does not define is kept as a number."""
    filled = pc.fill_null(codes, 0)
    known = pc.and_(pc.greater_equal(filled, 0), pc.less(filled, len(labels)))
    label = labels.take(pc.if_else(known, filled, 0))
    return pc.if_else(known, label, filled.cast(pa.string()))


def _events(lists: pa.Array) -> pa.Array:
    events, rows = flatten(lists)
    fields = {
        "time_unix_nano": pa.array(_clamped(pc.struct_field(events, "time_unix_nano"))),
        "name": text(pc.struct_field(events, "name")),
        "attributes": Attributes.of(pc.struct_field(events, "attributes")).as_map(),
    }
    return _lists_of(fields, rows, len(lists))


def _links(lists: pa.Array) -> pa.Array:
    links, rows = flatten(lists)
    valid = _valid_id(pc.struct_field(links, "trace_id"), 16) & _valid_id(
        pc.struct_field(links, "span_id"), 8
    )
    links, rows = links.filter(pa.array(valid)), rows[valid]
    fields = {
        "trace_id": _hex(pc.struct_field(links, "trace_id"), 16),
        "span_id": _hex(pc.struct_field(links, "span_id"), 8),
        "attributes": Attributes.of(pc.struct_field(links, "attributes")).as_map(),
    }
    return _lists_of(fields, rows, len(lists))


def _lists_of(fields: dict[str, pa.Array], rows: Indices, count: int) -> pa.Array:
    structs = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    return pa.ListArray.from_arrays(list_offsets(rows, count), structs)


def identifiers(ids: pa.Array, size: int) -> pa.Array:
    """Return ids of ``size`` bytes as lower-case hex, NULL where one is invalid."""
    valid = pa.array(_valid_id(ids, size))
    known = _hex(pc.if_else(valid, ids, pa.scalar(bytes(size), pa.binary())), size)
    return pc.if_else(valid, known, pa.scalar(None, pa.string()))


def nanoseconds(times: pa.Array) -> Indices:
    """Return times since the epoch as signed integers."""
    return _clamped(times)
