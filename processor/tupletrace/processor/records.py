"""One request's records (spans, log records, data points): how many, and which of them cannot be kept.

A request without faults is read once by protobuf's own parser, in C. Only where that finds a fault is the
request looked at record by record, with descriptors that hold what the strict ones refuse.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.trace.v1 import trace_pb2

from tupletrace.processor import wire
from tupletrace.processor.limits import MAX_REPEATED
from tupletrace.processor.refusal import MalformedRequest, TooLarge

INVALID_ID: Final = "invalid_id"
INVALID_TEXT: Final = "invalid_text"
_SPAN: Final = trace_pb2.Span.DESCRIPTOR.full_name
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


@dataclass(frozen=True, slots=True)
class Records:
    """What of a request is kept: ``body`` (empty where it is nothing), how many records, what is left out."""

    body: bytes
    kept: int
    left_out: Counter[str] = field(default_factory=Counter[str])
    """How many records by reason: ``invalid_id``, ``invalid_text``."""
    repaired: int = 0
    """Texts of what surrounds records (resource, scope, metric) that got U+FFFD where they were not UTF-8."""


def _types(of: Descriptor, seen: dict[str, Any]) -> dict[str, Any]:
    if of.full_name not in seen:
        seen[of.full_name] = of
        for one in of.fields:
            if one.message_type is not None:
                _types(one.message_type, seen)
    return seen


_TYPES: Final = {
    name: found
    for request in wire.REQUESTS.values()
    for name, found in _types(request.DESCRIPTOR, {}).items()
}
_RECORDS: Final = {
    name: GetMessageClass(found)
    for name, found in _TYPES.items()
    if found.name in ("Span", "LogRecord") or found.name.endswith("DataPoint")
}
_TEXTS: Final = {
    (name, one.name) for name, found in _TYPES.items() for one in found.fields if one.type == one.TYPE_STRING
}
_NESTED: Final = {"array_value": wire.ArrayValue, "kvlist_value": wire.KeyValueList}


_PATHS: Final = {
    wire.TRACES: ("resource_spans", "scope_spans", "spans"),
    wire.LOGS: ("resource_logs", "scope_logs", "log_records"),
    wire.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
}


def examine(signal: str, body: bytes) -> Records:
    """Count the records of a request and take out those that cannot be kept.

    Raises:
        MalformedRequest: the body is not a request of this signal.
        TooLarge: what surrounds its records is too much, said with each of them.
    """
    try:
        request = wire.REQUESTS[signal].FromString(body)
    except DecodeError:
        return _sorted_out(signal, body)
    _refuse_other_signal(signal, request)
    kept = valid = 0
    for found in _scopes(signal, request):
        if signal == wire.METRICS:
            points = sum(map(_points, found))
            kept, valid = kept + points, valid + points
        else:
            kept += len(found)
            valid += sum(map(_has_ids, found)) if signal == wire.TRACES else len(found)
    _refuse_repeated(signal, request, kept)
    return Records(body, kept) if valid == kept else _sorted_out(signal, body)


def _scopes(signal: str, request: Any) -> Iterator[Any]:
    """Yield the spans, log records or metrics of each scope."""
    resources, scopes, records = _PATHS[signal]
    for resource in getattr(request, resources):
        for scope in getattr(resource, scopes):
            yield getattr(scope, records)


def _points(metric: Any) -> int:
    data = metric.WhichOneof("data")
    return len(getattr(metric, data).data_points) if data else 0


def _has_ids(span: Any) -> bool:
    return (
        len(span.trace_id) == len(_NO_TRACE)
        and len(span.span_id) == len(_NO_SPAN)
        and span.trace_id != _NO_TRACE
        and span.span_id != _NO_SPAN
    )


def _refuse_other_signal(signal: str, request: Any) -> None:
    first = next((found[0] for found in _scopes(signal, request) if found), None)
    # Fields that are known by number and came with another wire type.
    if first is not None and any(
        one.field_number in first.DESCRIPTOR.fields_by_number for one in UnknownFieldSet(first)
    ):
        raise MalformedRequest(f"not an OTLP {signal} request: what it holds is of another signal")


def _refuse_repeated(signal: str, request: Any, records: int) -> None:
    # Metrics are in no table.
    if signal == wire.METRICS or request.ByteSize() * records <= MAX_REPEATED:
        return
    of_resources, of_scopes, of_records = _PATHS[signal]
    size = 0
    for resource in getattr(request, of_resources):
        around = resource.resource.ByteSize() + len(resource.schema_url)
        for scope in getattr(resource, of_scopes):
            own = scope.scope.ByteSize() + len(scope.schema_url)
            size += (around + own) * len(getattr(scope, of_records))
    if size > MAX_REPEATED:
        raise TooLarge(
            f"resources and scopes have {size} bytes, said with each of their {records} records as they are "
            f"stored; {MAX_REPEATED} are taken: send fewer records, or shorter attributes of the resource"
        )


def _sorted_out(signal: str, body: bytes) -> Records:
    try:
        request = wire.LOOSE_REQUESTS[signal].FromString(body)
        _refuse_other_signal(signal, request)
        sorting = _Sorting()
        sorting.sort(request)
        kept = request.SerializeToString() if sorting.kept else b""
        # A record alone may be as deep as it is read, and too deep where it stands; values are counted apart.
        wire.LOOSE_REQUESTS[signal].FromString(kept)
    except DecodeError as error:
        raise MalformedRequest(f"not an OTLP {signal} request in protobuf: {error}") from None
    if not sorting.kept and (other := _read_as(signal, body)):
        raise MalformedRequest(f"an OTLP {other} request was sent to where {signal} are taken")
    _refuse_repeated(signal, request, sorting.kept)
    return Records(kept, sorting.kept, sorting.left_out, sorting.repaired)


def _read_as(signal: str, body: bytes) -> str | None:
    """Return the other signal as which a request has records without an unknown field."""
    for other in wire.REQUESTS.keys() - {signal}:
        try:
            request = wire.REQUESTS[other].FromString(body)
        except DecodeError:
            continue
        first = next((found[0] for found in _scopes(other, request) if found), None)
        if first is not None and not len(UnknownFieldSet(first)):
            return other
    return None


class _Sorting:
    """Takes faulty records out of a loosened message, and repairs the text of what surrounds records."""

    def __init__(self) -> None:
        self.kept = self.repaired = 0
        self.left_out = Counter[str]()

    def sort(self, message: Any) -> None:
        """Go through a message and what it holds, down to the records."""
        name = message.DESCRIPTOR.full_name
        for one, value in message.ListFields():
            if one.message_type is not None:
                if one.message_type.full_name in _RECORDS:
                    self._records(value)
                else:
                    for below in value if one.is_repeated else [value]:
                        self.sort(below)
            elif name.endswith(".AnyValue") and one.name in _NESTED:
                nested = _NESTED[one.name].FromString(value)
                self.sort(nested)
                setattr(message, one.name, nested.SerializeToString())
            elif (name, one.name) in _TEXTS:
                if one.is_repeated:
                    value[:] = [self._text(text) for text in value]
                else:
                    setattr(message, one.name, self._text(value))

    def _records(self, found: Any) -> None:
        good: list[Any] = []
        for record in found:
            reason = self._fault(record)
            if reason is None:
                good.append(record)
            else:
                self.left_out[reason] += 1
        self.kept += len(good)
        if len(good) < len(found):
            del found[:]
            found.extend(good)

    @staticmethod
    def _fault(record: Any) -> str | None:
        name = record.DESCRIPTOR.full_name
        if name == _SPAN and not _has_ids(record):
            return INVALID_ID
        try:
            _RECORDS[name].FromString(record.SerializeToString())
        except DecodeError:
            return INVALID_TEXT
        return None

    def _text(self, raw: bytes) -> bytes:
        repaired = raw.decode("utf-8", "replace").encode()
        self.repaired += repaired != raw
        return repaired
