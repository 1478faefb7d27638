"""What a span or log record weighs in memory, near enough, without serialising it.

Counted: what ``sys.getsizeof`` says of every attribute value, event attribute value and log body, nested
values included, plus a flat sum for the object itself and for each attribute, event and link.
"""

from collections.abc import Collection, Mapping
from sys import getsizeof
from typing import Any, Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan

# Measured with tracemalloc on SDK 1.45: a bare span 2.7 kB, with 20 short attributes 5.4 kB, an event 0.6 kB.
_SPAN: Final = 2_700
_RECORD: Final = 1_500
_ATTRIBUTE: Final = 80
_EVENT: Final = 500
_LINK: Final = 300
_NESTED: Final = frozenset({dict, list, tuple})


def span_bytes(span: ReadableSpan) -> int:
    """Estimate the memory that keeping this span costs; its resource and scope are shared and not counted."""
    size = _SPAN + _attributes_bytes(span.attributes)
    for event in span.events:
        size += _EVENT + _attributes_bytes(event.attributes)
    return size + _LINK * len(span.links)


def log_record_bytes(record: ReadableLogRecord) -> int:
    """Estimate the memory that keeping this log record costs."""
    log_record = record.log_record
    return _RECORD + _values_bytes((log_record.body,)) + _attributes_bytes(log_record.attributes)


def _attributes_bytes(attributes: Mapping[str, Any] | None) -> int:
    if not attributes:
        return 0
    # A copy is a dict: its values are three times as quick to read as those of the SDK's own mapping.
    copied = getattr(attributes, "copy", None)
    values: Collection[Any] = (attributes if copied is None else copied()).values()
    return _ATTRIBUTE * len(values) + _values_bytes(values)


def _values_bytes(values: Collection[Any]) -> int:
    size = sum(map(getsizeof, values))
    if not _NESTED.isdisjoint(map(type, values)):
        for value in values:
            if type(value) in _NESTED:
                size += _values_bytes(value.values() if isinstance(value, dict) else value)
    return size
