"""Canonical columns out of any dialect's attributes, as its table in ``semconv`` says; never span by span."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor.attributes import Attributes, list_offsets
from tupletrace.semconv.dialects import AT_PATH, COLUMNS, DIALECTS, IGNORED, OPENINGS, VALUES, Source
from tupletrace.semconv.providers import provider

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_COMPARED: Final = (
    "provider_name",
    "response_id",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
    "prompt_name",
    "prompt_version",
    "conversation_id",
)
"""Columns of which all names on a span should say the same. Of models they do not: one says the alias."""
_SAID: Final = {
    column: {
        one.name: [Source.parse(text, one.name) for text in one.columns[column]]
        for one in DIALECTS
        if column in one.columns
    }
    for column in _COMPARED
}
Mask = npt.NDArray[np.bool_]
_SPAN_NAME: Final = "@name"
_SPAN_START: Final = "@start"
_OPERATION: Final = "operation_name"
_ANSWERS: Final = (
    "gen_ai.response.id",
    "gen_ai.output.messages",
    "response_data",
    "gen_ai.usage.input_tokens",
)
"""What a span has whose call was answered."""


@cache
def engine() -> duckdb.DuckDBPyConnection:
    """Return a database of nothing but the macros that read messages; made when there are some."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    folder = files("tupletrace.processor") / "sql" / "conversation"
    for name in (folder / "_order").read_text("utf-8").split():
        connection.execute((folder / f"{name}.sql").read_text("utf-8"))
    return connection


def mapped(values: pa.Array, meaning: Callable[[str], str | None]) -> pa.Array:
    """Return what the values mean (JSON nested too deep: nothing); each distinct one is asked about once."""

    def meant(value: str) -> bytes | None:
        try:
            said = meaning(value)
        except RecursionError:
            return None
        # JSON can escape half a surrogate pair, which UTF-8 cannot say.
        return None if said is None else said.encode("utf-8", "replace")

    encoded = values.dictionary_encode()
    meanings = [None if value is None else meant(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(meanings, pa.string()).take(encoded.indices)


def _meaning(table: Mapping[str, str]) -> Callable[[str], str | None]:
    # Of several dialects' patterns the longest says most.
    patterns = sorted(
        ((one, said) for one, said in table.items() if "*" in one), key=lambda pair: -len(pair[0])
    )

    def meaning(value: str) -> str | None:
        if value in table:
            return table[value] or None
        return next((said or None for pattern, said in patterns if fnmatchcase(value, pattern)), value)

    return meaning


def _meaning_of(column: str, key: str) -> Callable[[str], str | None] | None:
    table = VALUES.get((column, key))
    return _meaning(table) if table else provider if column == "provider_name" else None


def _places(names: list[pa.Array]) -> npt.NDArray[np.int64]:
    known = pa.array(_COMPARED, pa.string())
    return pc.index_in(pa.concat_arrays(names), known).to_numpy(zero_copy_only=False).astype(np.int64)


def _among(names: pa.Array, patterns: tuple[str, ...]) -> pa.Array:
    """Return which of the names one of the patterns matches."""
    return pc.is_valid(
        mapped(names, lambda name: "" if any(fnmatchcase(name, one) for one in patterns) else None)
    )


class Columns:
    """The canonical columns of one batch of spans, still as text."""

    def __init__(self, attributes: Attributes, names: pa.Array, starts: pa.Array, failed: pa.Array) -> None:
        """Find out each span's dialects and operation, on which other columns depend."""
        self._attributes, self._names, self._starts = attributes, names, starts
        self._keys = frozenset((*attributes.keys, _SPAN_NAME, _SPAN_START))
        self._extracted: dict[tuple[Any, ...], dict[str, pa.Array]] = {}
        self._where: dict[Any, Mask] = {
            dialect.name: attributes.carries(dialect.detect) for dialect in DIALECTS
        }
        claimed = self.column(_OPERATION)
        none = _among(names, IGNORED)
        if pc.any(opening := _among(names, OPENINGS)).as_py():
            answered = pc.is_valid(attributes.pick(_ANSWERS))
            none = pc.or_(none, pc.and_not(opening, pc.or_(failed, answered)))
        self.operation = pc.if_else(none, pa.scalar(None, pa.string()), claimed)

    def dialect(self) -> pa.Array:
        """Return the last dialect of each span; the vendor's own says more than the standard's."""
        last = np.full(self._attributes.count, len(DIALECTS))
        for position, dialect in enumerate(DIALECTS):
            last[self._where[dialect.name]] = position
        return pa.array([*(dialect.name for dialect in DIALECTS), None], pa.string()).take(pa.array(last))

    def column(self, column: str) -> pa.Array:
        """Return one canonical column; the first source that says something wins."""
        found: list[pa.Array] = []
        plain: list[str] = []
        for source in COLUMNS[column]:
            if not self._present(source.key):
                continue
            meaning = _meaning_of(column, source.key)
            if source == Source(source.key) and source.key in self._keys and not meaning:
                plain.append(source.key)
                continue
            if plain:
                found.append(self._attributes.pick(plain))
                plain = []
            values = self._values(source, column)
            found.append(mapped(values, meaning) if meaning else values)
        if plain or not found:
            found.append(self._attributes.pick(plain))
        return pc.coalesce(*found) if len(found) > 1 else found[0]

    def conflicts(self, found: Mapping[str, pa.Array]) -> pa.Array:
        """Return for each span a map: column -> what another vendor's names on it say instead."""
        rows, names, values = (
            [np.zeros(0, np.int64)],
            [pa.array([], pa.string())],
            [pa.array([], pa.string())],
        )
        for column in _COMPARED:
            said = [one for name in _SAID[column] if (one := self._said(name, column)) is not None]
            for other in said if len(said) > 1 else ():
                differs = pc.fill_null(pc.not_equal(other, found[column]), False)
                at = np.flatnonzero(differs.to_numpy(zero_copy_only=False))
                rows.append(at)
                names.append(pa.array([column] * len(at), pa.string()))
                values.append(other.take(pa.array(at)))
        every = np.concatenate(rows)
        # One of each column: a map has no key twice.
        _, first = np.unique(every * len(_COMPARED) + _places(names), return_index=True)
        taken = pa.array(first)
        texts = [pa.concat_arrays(one).take(taken) for one in (names, values)]
        return pa.MapArray.from_arrays(list_offsets(every[first], self._attributes.count), *texts)

    def _said(self, dialect: str, column: str) -> pa.Array | None:
        present = [source for source in _SAID[column][dialect] if self._present(source.key)]
        found = [self._values(source, column) for source in present]
        meanings = [_meaning_of(column, source.key) for source in present]
        meant = [mapped(one, of) if of else one for one, of in zip(found, meanings, strict=True)]
        return pc.coalesce(*meant) if meant else None

    def _present(self, key: str) -> bool:
        return all(part in self._keys for part in key.split("+"))

    def _values(self, source: Source, column: str) -> pa.Array:
        if source.sql is None:
            rows = self._rows(source)
            values = self._raw(source.key)
            return values if rows.all() else pc.if_else(pa.array(rows), values, pa.scalar(None, pa.string()))
        of_operation = column == _OPERATION
        group = (source.key, source.operations, source.dialect, of_operation)
        if group not in self._extracted:
            together = {
                one.sql
                for name, sources in COLUMNS.items()
                for one in sources
                if one.sql and (one.key, one.operations, one.dialect, name == _OPERATION) == group
            }
            self._extracted[group] = self._extract(source, sorted(together))
        return self._extracted[group][source.sql]

    def _raw(self, key: str) -> pa.Array:
        if key == _SPAN_NAME:
            return self._names
        if key == _SPAN_START:
            return self._starts.cast(pa.string())
        parts = [self._raw(part) for part in key.split("+")] if "+" in key else []
        return pc.binary_join_element_wise(*parts, "+") if parts else self._attributes.pick([key])

    def _rows(self, source: Source) -> Mask:
        rows = np.ones(self._attributes.count, np.bool_)
        if source.dialect:
            rows &= self._where[source.dialect]
        if operations := source.operations:
            if operations not in self._where:
                found = pc.is_in(self.operation, pa.array(operations))
                self._where[operations] = found.to_numpy(zero_copy_only=False)
            rows &= self._where[operations]
        return rows

    def _extract(self, source: Source, expressions: list[str]) -> dict[str, pa.Array]:
        raw = self._raw(source.key)
        rows = np.flatnonzero(self._rows(source) & pc.is_valid(raw).to_numpy(zero_copy_only=False))
        back = np.full(len(raw), -1, np.int64)
        back[rows] = np.arange(len(rows))
        index = pa.array(back, mask=back < 0)
        extracted = extract(raw.take(pa.array(rows)), expressions)
        return {sql: values.take(index) for sql, values in zip(expressions, extracted, strict=True)}


def extract(raw: pa.Array, expressions: list[str]) -> list[pa.Array]:
    """Return each SQL expression over the values, as text; an empty one, or one that fails, is NULL."""
    if not len(raw):
        return [pa.nulls(0, pa.string()) for _ in expressions]
    # All paths in one reading of the JSON.
    paths = [sql.removeprefix(AT_PATH)[:-1] for sql in expressions if sql.startswith(AT_PATH)]
    place = {f"{AT_PATH}{path})": f"found[{i}]" for i, path in enumerate(paths, 1)}
    asked = [f"nullif(TRY(CAST({place.get(sql, sql)} AS VARCHAR)), '')" for sql in expressions]
    selected = ", ".join(f"{sql} AS column_{i}" for i, sql in enumerate(asked))
    at_paths = f"TRY(json_extract_string(v, [{', '.join(paths)}]))" if paths else "NULL"
    with engine().cursor() as cursor:
        cursor.register("raw_values", pa.table({"raw": raw}))
        # As a relation it would be planned twice.
        cursor.execute(
            f"CREATE TEMPORARY TABLE answer AS SELECT {selected} "
            f"FROM (SELECT raw, v, {at_paths} AS found FROM (SELECT raw, as_json(raw) AS v FROM raw_values))"
        )
        answer = cursor.table("answer").to_arrow_table()
    return [column.combine_chunks() for column in answer.columns]
