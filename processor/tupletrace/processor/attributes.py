"""OTLP attribute lists as columns: values as text, maps for storage, single keys picked out by name."""

import base64
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
from google.protobuf.message import DecodeError

from tupletrace.processor import metrics, wire

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_RECURSIVE: Final = ("array_value", "kvlist_value")
_MAX_DEPTH: Final = 32
"""Arrays and maps in one another; what is deeper, or cannot be read, stays the base64 of its bytes."""
_LONGEST: Final = 8 * 2**20
"""Bytes of a value that is read: as JSON it takes many times the memory. The map holds longer ones too."""
Indices = npt.NDArray[np.int64]


def text(binary: pa.Array) -> pa.Array:
    """Return bytes as strings; a value that is not UTF-8 gets U+FFFD where it breaks, its neighbours stay."""
    try:
        return binary.cast(pa.string())
    except pa.ArrowInvalid:
        repaired = [None if b is None else b.decode("utf-8", "replace") for b in binary.to_pylist()]
        return pa.array(repaired, pa.string())


def flatten(lists: pa.Array) -> tuple[pa.Array, Indices]:
    """Return the elements of all lists, and for each the index of the list that it stood in."""
    return lists.flatten(), pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)


def list_offsets(rows: Indices, count: int) -> pa.Array:
    """Return Arrow list offsets for elements that belong to ascending ``rows`` of a ``count``-row column."""
    counts = np.bincount(rows, minlength=count)
    return pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _plain(value: Any, depth: int) -> Any:
    """Return an ``AnyValue`` as JSON has it; doubles that JSON lacks have the names that OTLP gives them."""
    kind = value.WhichOneof("value")
    found: Any = getattr(value, kind) if kind else None
    if kind == "string_value":
        return found.decode("utf-8", "replace")
    if kind == "bytes_value":
        return _base64(found)
    if kind in _RECURSIVE:
        return _nested(found, kind, depth + 1)
    if isinstance(found, float) and not math.isfinite(found):
        return "NaN" if math.isnan(found) else "Infinity" if found > 0 else "-Infinity"
    return found


def _nested(raw: bytes, kind: str, depth: int) -> Any:
    try:
        if depth > _MAX_DEPTH:
            return _base64(raw)
        if kind == "array_value":
            return [_plain(item, depth) for item in wire.ArrayValue.FromString(raw).values]
        pairs = wire.KeyValueList.FromString(raw).values
        return {pair.key.decode("utf-8", "replace"): _plain(pair.value, depth) for pair in pairs}
    except DecodeError:
        return _base64(raw)


def _recursive_text(binary: pa.Array, kind: str) -> pa.Array:
    # Arrays repeat (`["stop"]`): each distinct one is decoded once.
    encoded = binary.dictionary_encode()
    distinct = [
        None if raw is None else json.dumps(_nested(raw, kind, 1), ensure_ascii=False)
        for raw in encoded.dictionary.to_pylist()
    ]
    return pa.array(distinct, pa.string()).take(encoded.indices)


def value_text(values: pa.Array) -> pa.Array:
    """Return ``AnyValue`` structs as text: strings as they are, arrays and key-value lists as JSON."""
    parts = [text(pc.struct_field(values, "string_value"))]
    for scalar in ("int_value", "double_value", "bool_value"):
        column = pc.struct_field(values, scalar)
        if column.null_count < len(column):
            parts.append(column.cast(pa.string()))
    for kind in _RECURSIVE:
        column = pc.struct_field(values, kind)
        if column.null_count < len(column):
            parts.append(_recursive_text(column, kind))
    raw = pc.struct_field(values, "bytes_value")
    if raw.null_count < len(raw):
        encoded = [None if b is None else _base64(b) for b in raw.to_pylist()]
        parts.append(pa.array(encoded, pa.string()))
    return pc.coalesce(*parts) if len(parts) > 1 else parts[0]


def _indexed(structs: pa.Array, name: str) -> npt.NDArray[np.bool_]:
    """Return where a struct points into a table of strings, which only profiles have."""
    if structs.type.get_field_index(name) < 0:
        return np.zeros(len(structs), np.bool_)
    return pc.fill_null(pc.not_equal(pc.struct_field(structs, name), 0), False).to_numpy(zero_copy_only=False)


def sizes(values: pa.Array) -> npt.NDArray[np.int32]:
    """Return how many bytes each text has, 0 where there is none."""
    return pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)


def _count(kind: str, count: int) -> None:
    if count:
        metrics.ODDITIES.labels(kind).inc(int(count))


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of ``count`` records: each one's record, key (index into ``keys``) and value."""

    count: int
    keys: list[str]
    rows: Indices
    codes: Indices
    values: pa.Array
    order: Indices
    bounds: Indices
    filled: npt.NDArray[np.bool_]
    """Whether a value is there, not empty, and not too long to be read."""
    unread: npt.NDArray[np.bool_]
    """Whether a value is too long to be read."""

    @classmethod
    def of(cls, lists: pa.Array) -> "Attributes":
        """Read a column of OTLP ``repeated KeyValue``; where a record has a key twice the last one wins."""
        pairs, rows = flatten(lists)
        nameless = _indexed(pairs, "key_strindex")
        valueless = _indexed(pc.struct_field(pairs, "value"), "string_value_strindex")
        _count("string_index", nameless.sum() + valueless.sum())
        if nameless.any():
            pairs, rows = pairs.filter(pa.array(~nameless)), rows[~nameless]
        encoded = text(pc.struct_field(pairs, "key")).dictionary_encode()
        keys = [str(key) for key in encoded.dictionary.to_pylist()]
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        values = value_text(pc.struct_field(pairs, "value"))
        cells = rows * max(len(keys), 1) + codes
        _, last = np.unique(cells[::-1], return_index=True)
        if len(last) < len(cells):
            _count("duplicate_attribute", len(cells) - len(last))
            kept = np.sort(len(cells) - 1 - last)
            rows, codes, values = rows[kept], codes[kept], values.take(pa.array(kept))
        found = cls._indexed(len(lists), keys, rows, codes, values)
        _count("unread_value", found.unread.sum())
        return found

    @classmethod
    def none(cls, count: int) -> "Attributes":
        """Return the attributes of records that have none."""
        nothing = np.zeros(0, np.int64)
        return cls._indexed(count, [], nothing, nothing, pa.array([], pa.string()))

    @classmethod
    def _indexed(
        cls, count: int, keys: list[str], rows: Indices, codes: Indices, values: pa.Array
    ) -> "Attributes":
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(keys) + 1))
        size = sizes(values)
        unread = size > _LONGEST
        return cls(count, keys, rows, codes, values, order, bounds, (size > 0) & ~unread, unread)

    def below(self, rows: Indices, keys: pa.Array, values: pa.Array) -> "Attributes":
        """Return the attributes with more of them, which count where a record does not say the key itself."""
        filled = sizes(values) > 0
        encoded = keys.dictionary_encode()
        known = {key: code for code, key in enumerate(self.keys)}
        added = [str(key) for key in encoded.dictionary.to_pylist()]
        names = [*self.keys, *(key for key in added if key not in known)]
        place = {key: code for code, key in enumerate(names)}
        codes = np.array([place[key] for key in added], np.int64)[
            encoded.indices.to_numpy(zero_copy_only=False)
        ]
        # The last one of a key counts.
        all_rows = np.concatenate((rows[filled], self.rows))
        order = np.argsort(all_rows, kind="stable")
        all_values = pa.concat_arrays([values.filter(pa.array(filled)), self.values]).take(pa.array(order))
        all_codes = np.concatenate((codes[filled], self.codes))[order]
        return self._indexed(self.count, names, all_rows[order], all_codes, all_values)

    def take(self, records: Indices) -> "Attributes":
        """Return the attributes of ``records`` (indices, repeats allowed) as new records 0, 1, 2, ..."""
        starts = np.searchsorted(self.rows, records)
        counts = np.searchsorted(self.rows, records, side="right") - starts
        rows = np.repeat(np.arange(len(records)), counts)
        first = np.repeat(starts - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
        positions = first + np.arange(len(rows))
        values = self.values.take(pa.array(positions))
        return self._indexed(len(records), self.keys, rows, self.codes[positions], values)

    def without(self, key: str) -> "Attributes":
        """Return the attributes without those of a key."""
        left = self.codes != self.keys.index(key)
        values = self.values.filter(pa.array(left))
        return self._indexed(self.count, self.keys, self.rows[left], self.codes[left], values)

    def pick(self, keys: Iterable[str]) -> pa.Array:
        """Return one text column: for each record the value of the first of ``keys`` that is not empty."""
        chosen = np.full(self.count, -1, np.int64)
        known = {key: code for code, key in enumerate(self.keys)}
        for key in reversed(list(keys)):
            code = known.get(key)
            if code is not None:
                found = self.order[self.bounds[code] : self.bounds[code + 1]]
                found = found[self.filled[found]]
                chosen[self.rows[found]] = found
        return self.values.take(pa.array(chosen, mask=chosen < 0))

    def carries(self, wanted: tuple[str, ...]) -> npt.NDArray[np.bool_]:
        """Return for each record whether it has one of the keys; one that ends with a dot is a prefix."""
        found = np.zeros(self.count, np.bool_)
        for code, key in enumerate(self.keys):
            if any(key.startswith(one) if one.endswith(".") else key == one for one in wanted):
                found[self.rows[self.order[self.bounds[code] : self.bounds[code + 1]]]] = True
        return found

    def as_map(self) -> pa.Array:
        """Return every attribute as ``map<string, string>``."""
        names = pa.array(self.keys, pa.string()).take(pa.array(self.codes))
        return pa.MapArray.from_arrays(list_offsets(self.rows, self.count), names, self.values)
