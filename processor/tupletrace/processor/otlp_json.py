"""OTLP in JSON -> the same request in protobuf, by OTLP's own rules, which are stricter than protobuf's.

Ids are hex, enums are numbers, names are lowerCamelCase and nothing else; what is unknown is ignored.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from functools import cache
from itertools import islice
from typing import Any, Final, NoReturn

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import EncodeError

from tupletrace.processor import wire
from tupletrace.processor.limits import MAX_DEPTH
from tupletrace.processor.refusal import MalformedRequest, TooDeep, TooManyObjects

_IDS: Final = {"trace_id", "span_id", "parent_span_id"}
_NO_ID: Final = b"?"
"""In place of an id that is not hex: as invalid as one of a wrong size, so only its record is refused."""
_INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_MARKS: Final = re.compile(rb'(?:[^"{[,]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+(?:.|\Z)', re.DOTALL)
"""Each match ends with what begins or parts values, outside of strings."""
_MARKS_AN_OBJECT: Final = 2
_NAMED_DOUBLES: Final = {"NaN", "Infinity", "-Infinity"}
_KEYS: Final = {"resourceSpans": wire.TRACES, "resourceMetrics": wire.METRICS, "resourceLogs": wire.LOGS}


def to_protobuf(signal: str, body: bytes, most_objects: int) -> bytes:
    """Return a request in JSON as protobuf bytes.

    Raises:
        MalformedRequest: it is no JSON, or not a request of this signal.
        TooManyObjects, TooDeep: it has more than is read.
    """
    if _has_more(body, _MARKS_AN_OBJECT * most_objects):
        raise TooManyObjects(f"a request may have {most_objects} spans, attributes and other values")
    request = wire.REQUESTS[signal]()
    try:
        found = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
        _refuse_other_signal(signal, found)
        _fill(request, found)
        return request.SerializeToString()
    except (RecursionError, EncodeError):
        raise TooDeep(f"values are nested deeper than {MAX_DEPTH} levels") from None
    except MalformedRequest:
        raise
    # Not JSON, not UTF-8, a lone surrogate, a number out of its range.
    except (ValueError, TypeError, OverflowError) as error:
        raise MalformedRequest(f"not an OTLP {signal} request in JSON: {error}") from None


def _has_more(body: bytes, marks: int) -> bool:
    """Say whether a body begins or parts more values than that: what is unknown is read as well."""
    # Most requests are too short for that, or need no look at where their strings end.
    if len(body) <= marks or sum(map(body.count, (b"{", b"[", b","))) <= marks:
        return False
    return any(True for _ in islice(_MARKS.finditer(body), marks, None))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise MalformedRequest("a name stands twice in one JSON object")
    return made


def _no_constant(name: str) -> NoReturn:
    raise MalformedRequest(f"{name} is not JSON; OTLP writes it as a string")


def _refuse_other_signal(signal: str, found: Any) -> None:
    said = {_KEYS[key] for key in found if key in _KEYS} if isinstance(found, dict) else set[str]()
    if said and signal not in said:
        raise MalformedRequest(f"an OTLP {said.pop()} request was sent to where {signal} are taken")


@cache
def _fields(of: Descriptor) -> dict[str, Any]:
    return {field.json_name: field for field in of.fields}


def _fill(message: Any, found: Any) -> None:
    if not isinstance(found, dict):
        raise MalformedRequest(f"{message.DESCRIPTOR.name} is an object in JSON, not {_kind(found)}")
    fields = _fields(message.DESCRIPTOR)
    for name, value in found.items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        if field.is_repeated:
            if not isinstance(value, list):
                raise MalformedRequest(f"{name} is a list in JSON, not {_kind(value)}")
            into = getattr(message, field.name)
            if field.message_type is None:
                into.extend(_scalar(field, one) for one in value)
            else:
                for one in value:
                    _fill(into.add(), one)
        elif field.message_type is not None:
            below = getattr(message, field.name)
            # An empty one is there all the same.
            below.SetInParent()
            _fill(below, value)
        else:
            setattr(message, field.name, _scalar(field, value))


def _scalar(field: Any, value: Any) -> Any:
    kind = type(value)
    if field.enum_type is not None:
        if kind is int:
            return value
    elif field.type == FieldDescriptor.TYPE_BYTES:
        if kind is str:
            return _hex(value) if field.name in _IDS else _base64(value)
    elif (convert := _CONVERT.get(field.cpp_type)) is not None:
        converted = convert(value)
        if converted is not None:
            return converted
    raise MalformedRequest(f"{field.json_name} cannot be {_kind(value)} {json.dumps(value)[:40]}")


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _integer(value: Any) -> int | None:
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else None


def _double(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and (value in _NAMED_DOUBLES or re.fullmatch(r"[-+0-9.eE]{1,64}", value)):
        return float(value)
    return None


_CONVERT: Final[dict[int, Callable[[Any], Any]]] = {
    FieldDescriptor.CPPTYPE_STRING: _string,
    FieldDescriptor.CPPTYPE_BOOL: _bool,
    FieldDescriptor.CPPTYPE_DOUBLE: _double,
    **dict.fromkeys(_INTEGERS, _integer),
}


def _hex(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return _NO_ID
    # It passes over blanks.
    return raw if 2 * len(raw) == len(text) else _NO_ID


def _base64(text: str) -> bytes:
    padded = text.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except binascii.Error as error:
        raise MalformedRequest(f"bytes are base64 in JSON: {error}") from None


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
