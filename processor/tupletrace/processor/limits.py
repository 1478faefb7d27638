"""What a request may hold, found out before it is parsed: empty spans of 2 bytes become objects of 200.

Depth and counts are read with descriptors that are OTLP's without its scalars: elements of the last level
are empty messages, which cost Arrow no memory, so each level is counted before the next is looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import ptars
import pyarrow as pa
import pyarrow.compute
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as _Field
from google.protobuf.descriptor_pool import DescriptorPool
from opentelemetry.proto.common.v1.common_pb2 import ArrayValue, KeyValueList

from tupletrace.processor import wire
from tupletrace.processor.refusal import MalformedRequest, TooDeep, TooManyObjects

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

MAX_DEPTH: Final = 32
"""Arrays and maps in one another, whichever the encoding."""
MAX_REPEATED: Final = 128 * 2**20
"""Bytes of resources and scopes as often as there are spans or log records in them: each row says them."""
_LEAST_LEVEL: Final = 4
"""Bytes that one level of an array takes at least: two tags, two lengths."""
_ARRAY_VALUE, _KVLIST_VALUE, _VALUES = 0x2A, 0x32, 0x0A
"""Tags: the two fields of ``AnyValue`` that nest, the one field that either of them holds."""
_MAX_VARINT: Final = 5
Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Limits:
    """Most that one request may have, after decompression."""

    request_bytes: int = 64 * 2**20
    """OTLP 1.11 recommends 64 MiB: one default batch of 512 spans with 100 kB prompts."""
    objects: int = 1_000_000
    """Spans, log records, data points, events, links, attributes, elements of arrays: about 200 MB parsed."""


class _Skeleton:
    """Readers of one message: ``stages`` of repeated fields to the depth of 1, 2, ... levels, ``values``."""

    def __init__(self, root: Descriptor) -> None:
        self._file = FileDescriptorProto(name="skeleton", package="skeleton", syntax="proto3")
        self._file.message_type.append(DescriptorProto(name="Empty"))
        self._made: set[str] = set()
        names = [self._counted(root, levels) for levels in range(1, _depth(root) + 1)]
        names.append(self._valued(root))
        pool = DescriptorPool()
        pool.Add(self._file)  # pyright: ignore[reportAttributeAccessIssue]
        handlers = ptars.HandlerPool([pool.FindFileByName("skeleton")])
        *self.stages, self.values = (
            handlers.get_for_message(pool.FindMessageTypeByName(f"skeleton.{name}")) for name in names
        )

    def _counted(self, of: Descriptor, levels: int) -> str:
        if levels == 0 or not _depth(of):
            return "Empty"
        fields = [field for field in _messages(of) if field.is_repeated or _depth(field.message_type)]
        below = [self._counted(field.message_type, levels - 1) for field in fields]
        return self._message(f"{of.name}_{levels}", fields, below)

    def _valued(self, of: Descriptor) -> str:
        fields = _messages(of)
        if of.name == "AnyValue":
            return self._message(of.name, fields, None)
        return self._message(of.name, fields, [self._valued(field.message_type) for field in fields])

    def _message(self, name: str, fields: list[Any], below: list[str] | None) -> str:
        if name not in self._made:
            self._made.add(name)
            made = self._file.message_type.add(name=name)
            for index, field in enumerate(fields):
                added = made.field.add(name=field.name, number=field.number, type=_Field.TYPE_BYTES)
                added.label = _Field.LABEL_REPEATED if field.is_repeated else _Field.LABEL_OPTIONAL
                if below is not None:
                    added.type, added.type_name = _Field.TYPE_MESSAGE, f".skeleton.{below[index]}"
                else:
                    # As in OTLP: what is absent is not empty.
                    added.oneof_index = 0
            if below is None:
                made.oneof_decl.add(name="value")
        return name


def _messages(of: Descriptor) -> list[Any]:
    return [field for field in of.fields if field.message_type is not None]


def _depth(of: Descriptor) -> int:
    """Return how many levels of repeated messages there are, down to ``AnyValue``."""
    if of.name == "AnyValue":
        return 0
    below = [(field.is_repeated, _depth(field.message_type)) for field in _messages(of)]
    return max((1 + deep for repeated, deep in below if repeated or deep), default=0)


_REQUESTS: Final = {signal: _Skeleton(message.DESCRIPTOR) for signal, message in wire.REQUESTS.items()}
_NESTED: Final = {
    "array_value": _Skeleton(ArrayValue.DESCRIPTOR),
    "kvlist_value": _Skeleton(KeyValueList.DESCRIPTOR),
}


def check(signal: str, body: bytes, limits: Limits) -> None:
    """Refuse what would take too much to parse.

    Raises:
        TooManyObjects, TooDeep: it has more than ``limits``.
        MalformedRequest: it is not protobuf.
    """
    # No object is smaller than 2 bytes: most requests need no counting.
    counting = len(body) > 2 * limits.objects
    if not counting and not _may_be_deep(body):
        return
    skeleton, count = _REQUESTS[signal], 0
    if counting:
        for stage in skeleton.stages:
            count = _counted(_read(stage, [body]), 0, limits)
    found = [_read(skeleton.values, [body])]
    for depth in range(MAX_DEPTH + 1):
        # Where nothing is counted, what is too short to be too deep is not looked at.
        nested = _nested(found, 0 if counting else (MAX_DEPTH - depth) * _LEAST_LEVEL)
        if not nested:
            return
        if counting := counting and count + sum(values.nbytes for values in nested.values()) > limits.objects:
            for kind, values in nested.items():
                for stage in _NESTED[kind].stages:
                    count = _counted(_read(stage, values), count, limits)
        found = [_read(_NESTED[kind].values, values) for kind, values in nested.items()]
    raise TooDeep(f"values are nested deeper than {MAX_DEPTH} levels")


def _may_be_deep(body: bytes) -> bool:
    """Say whether more arrays and maps than ``MAX_DEPTH`` may begin in one another."""
    raw = np.frombuffer(body, np.uint8)
    tags = (raw == _ARRAY_VALUE) | (raw == _KVLIST_VALUE)
    # The outermost of so many levels has a length of two bytes or more.
    outer, lengths = _beginnings(raw, np.flatnonzero(tags[:-1] & (raw[1:] >= 0x80)))
    if not len(outer):
        return False
    every = np.sort(_beginnings(raw, np.flatnonzero(tags))[0])
    levels = np.searchsorted(every, outer + _MAX_VARINT + lengths) - np.searchsorted(every, outer)
    return bool(levels.max() > MAX_DEPTH)


def _beginnings(raw: Bytes, tags: Indices) -> tuple[Indices, Indices]:
    """Return at which of the tags a length and the tag of ``values`` follow, and the lengths."""
    at, lengths = tags, np.zeros(len(tags), np.int64)
    begun, of_length = [tags[:0]], [lengths[:0]]
    for place in range(_MAX_VARINT):
        within = at < len(raw) - 2
        tags, at, lengths = tags[within], at[within] + 1, lengths[within]
        lengths |= (raw[at] & 0x7F).astype(np.int64) << 7 * place
        ended = raw[at] < 0x80
        followed = ended & (raw[at + 1] == _VALUES)
        begun.append(tags[followed])
        of_length.append(lengths[followed])
        tags, at, lengths = tags[~ended], at[~ended], lengths[~ended]
    return np.concatenate(begun), np.concatenate(of_length)


def _read(reader: Any, bodies: list[bytes] | pa.Array) -> pa.RecordBatch:
    try:
        if isinstance(bodies, list):
            return reader.list_to_record_batch(bodies)
        return reader.array_to_record_batch(bodies)
    except Exception as error:  # noqa: BLE001 - ptars raises several kinds, all about the bytes
        raise MalformedRequest(f"not OTLP in protobuf: {error}") from None


def _counted(batch: pa.RecordBatch, before: int, limits: Limits) -> int:
    count = before + sum(len(found.values) for _, found in _ends(batch) if pa.types.is_list(found.type))
    if count > limits.objects:
        raise TooManyObjects(f"a request may have {limits.objects} spans, attributes and other values")
    return count


def _nested(batches: list[pa.RecordBatch], shortest: int) -> dict[str, pa.Array]:
    """Return what arrays and what maps hold, as bytes, where it is at least so long."""
    chunks: dict[str, list[pa.Array]] = {kind: [] for kind in _NESTED}
    for name, found in (end for batch in batches for end in _ends(batch)):
        if name in chunks and found.null_count < len(found):
            if shortest or found.null_count:
                found = found.filter(pc.greater_equal(pc.binary_length(found), shortest))
            chunks[name].append(found)
    # One chunk is not copied: it may be nearly the whole request.
    return {
        kind: found[0] if len(found) == 1 else pa.concat_arrays(found)
        for kind, found in chunks.items()
        if sum(map(len, found))
    }


def _ends(batch: pa.RecordBatch) -> Iterator[tuple[str, Any]]:
    """Yield every list and every column of bytes, however deep, with its name."""
    waiting = list(zip(batch.schema.names, batch.columns, strict=True))
    while waiting:
        name, array = waiting.pop()
        if pa.types.is_struct(array.type):
            waiting += [(field.name, array.field(i)) for i, field in enumerate(array.type)]
        else:
            yield name, array
            if pa.types.is_list(array.type):
                waiting.append((name, array.values))
