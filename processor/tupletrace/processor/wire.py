"""OTLP requests as Arrow, by descriptors of the three signals that are loosened: a bad value harms no other.

``AnyValue.array_value`` and ``.kvlist_value`` are left as bytes (Arrow has no recursive types), and every
string is left as bytes (one invalid UTF-8 string would fail the whole request).
"""

from typing import Any, Final

import ptars
import pyarrow as pa
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from tupletrace.processor.refusal import MalformedRequest as MalformedRequest

TRACES: Final = "traces"
METRICS: Final = "metrics"
LOGS: Final = "logs"
REQUESTS: Final[dict[str, Any]] = {
    TRACES: trace_service_pb2.ExportTraceServiceRequest,
    METRICS: metrics_service_pb2.ExportMetricsServiceRequest,
    LOGS: logs_service_pb2.ExportLogsServiceRequest,
}
"""The message of each signal as OTLP has it."""
_RECURSIVE: Final = {"array_value", "kvlist_value"}


def _loosen(message: DescriptorProto) -> None:
    for field in message.field:
        if message.name == "AnyValue" and field.name in _RECURSIVE:
            field.ClearField("type_name")
            field.type = FieldDescriptorProto.TYPE_BYTES
        elif field.type == FieldDescriptorProto.TYPE_STRING:
            field.type = FieldDescriptorProto.TYPE_BYTES
    for nested in message.nested_type:
        _loosen(nested)


def _add(pool: DescriptorPool, file: FileDescriptor, added: set[str]) -> None:
    if file.name in added:
        return
    added.add(file.name)
    for dependency in file.dependencies:
        _add(pool, dependency, added)
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    for message in proto.message_type:
        _loosen(message)
    pool.Add(proto)  # pyright: ignore[reportAttributeAccessIssue]


def _loosened() -> DescriptorPool:
    pool, added = DescriptorPool(), set[str]()
    for request in REQUESTS.values():
        _add(pool, request.DESCRIPTOR.file, added)
    return pool


def _handlers(pool: DescriptorPool) -> dict[str, Any]:
    loosened = {
        signal: pool.FindMessageTypeByName(request.DESCRIPTOR.full_name)
        for signal, request in REQUESTS.items()
    }
    ptars_pool = ptars.HandlerPool([request.file for request in loosened.values()])
    return {signal: ptars_pool.get_for_message(request) for signal, request in loosened.items()}


_AT_ONCE: Final = 8
"""Requests: while ptars parses no other thread runs."""
_POOL: Final = _loosened()
_HANDLERS: Final = _handlers(_POOL)


def _loose(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


LOOSE_REQUESTS: Final[dict[str, Any]] = {
    signal: _loose(request.DESCRIPTOR.full_name) for signal, request in REQUESTS.items()
}
"""The message of each signal by the loosened descriptors: it holds what a strict one refuses."""
ArrayValue: Any = _loose("opentelemetry.proto.common.v1.ArrayValue")
KeyValueList: Any = _loose("opentelemetry.proto.common.v1.KeyValueList")
"""What the loosened fields hold, by the same descriptors: one level of it at a time."""


def parse(signal: str, bodies: list[bytes]) -> pa.RecordBatch:
    """Return one row a request, nested as in OTLP.

    Raises:
        MalformedRequest: a body is not a protobuf message of this signal.
    """
    starts = range(0, max(len(bodies), 1), _AT_ONCE)
    try:
        parsed = [
            _HANDLERS[signal].list_to_record_batch(bodies[start : start + _AT_ONCE]) for start in starts
        ]
    except Exception as error:  # noqa: BLE001 - ptars raises several kinds, all about the bytes
        raise MalformedRequest(f"not an OTLP {signal} request in protobuf: {error}") from None
    # Of a single one it would make a copy.
    return parsed[0] if len(parsed) == 1 else pa.concat_batches(parsed)


def encoded(signal: str, rows: pa.RecordBatch) -> list[bytes]:
    """Return requests in protobuf, of rows as ``parse`` gives them; columns and fields may be left out."""
    return _HANDLERS[signal].record_batch_to_array(rows).to_pylist()
