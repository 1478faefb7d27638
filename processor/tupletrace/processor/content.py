"""Content taken out of spans and records by column: what is left says what a call was, not what was said."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor.attributes import flatten, list_offsets
from tupletrace.semconv.content import CONTENT, Kept, kept

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

COLUMNS: Final = (*CONTENT, "status_message", "explanation")
"""Columns that are content as a whole, of whichever table has them."""
_PAIRS: Final = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
_NUMBER: Final = r"^(-?[0-9][0-9.eE+-]*|true|false)$"
_LABEL: Final = r"^[^\s{\[][^\n\r]{0,99}$|^\[[^\n\r{\[]{0,98}\]$"
"""One line; a list of names, not of objects."""
_IDENTIFIER: Final = r"^[^\s{]{1,100}$"
_LOOKS: Final = {Kept.NUMBER: (_NUMBER,), Kept.IDENTIFIER: (_IDENTIFIER, _LABEL), Kept.LABEL: (_LABEL,)}
Mask = npt.NDArray[np.bool_]
Stripped = tuple[pa.Array, Mask]
"""A column without content, and which rows had some."""


def without(table: pa.Table) -> tuple[pa.Table, Mask]:
    """Return rows of ``spans`` or of records without content, and which of them had some."""
    had = np.zeros(table.num_rows, np.bool_)
    for number, field in enumerate(table.schema):
        column = table.column(number).combine_chunks()
        if field.name in COLUMNS:
            changed = pa.nulls(len(column), field.type), _true(pc.is_valid(column))
        elif field.name == "attributes":
            changed = _map(column)
        elif field.name in ("events", "links"):
            changed = _nested(column)
        else:
            continue
        had |= changed[1]
        table = table.set_column(number, field, changed[0])
    return table, had


def _nested(lists: pa.Array) -> Stripped:
    """Strip a column of lists of structs that have ``attributes``."""
    found, rows = flatten(lists)
    names = [field.name for field in found.type]
    fields = {name: pc.struct_field(found, name) for name in names}
    fields["attributes"], had = _map(fields["attributes"])
    structs = pa.StructArray.from_arrays(list(fields.values()), names=names)
    return pa.ListArray.from_arrays(list_offsets(rows, len(lists)), structs), _rows(rows[had], len(lists))


def _map(maps: pa.Array) -> Stripped:
    pairs, rows = flatten(maps.cast(_PAIRS))
    keys, values = pc.struct_field(pairs, "key"), pc.struct_field(pairs, "value")
    encoded = keys.dictionary_encode()
    rules = np.array([list(Kept).index(kept(key)) for key in encoded.dictionary.to_pylist()], np.int64)
    rule = rules[encoded.indices.to_numpy(zero_copy_only=False)]
    stays = rule == list(Kept).index(Kept.ALL)
    for one, patterns in _LOOKS.items():
        at = np.flatnonzero(rule == list(Kept).index(one))
        looked = values.take(pa.array(at))
        stays[at] = np.all([_matching(looked, pattern) for pattern in patterns], axis=0)
    left = pa.array(np.flatnonzero(stays))
    offsets = list_offsets(rows[stays], len(maps))
    return pa.MapArray.from_arrays(offsets, keys.take(left), values.take(left)), _rows(
        rows[~stays], len(maps)
    )


def _matching(values: pa.Array, pattern: str) -> Mask:
    return _true(pc.fill_null(pc.match_substring_regex(values, pattern), True))


def _rows(rows: npt.NDArray[np.int64], count: int) -> Mask:
    found = np.zeros(count, np.bool_)
    found[rows] = True
    return found


def _true(found: pa.Array) -> Mask:
    return found.to_numpy(zero_copy_only=False)
