"""Rows written as JSON, CSV, Arrow or text, a batch at a time: an answer need not be in memory whole."""

import csv
import io
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

Batches = Iterable[pa.RecordBatch]


def to_json(schema: pa.Schema, batches: Batches) -> Iterator[str]:
    """Yield a JSON list of one object a row, decimals exact, NaN and infinity as null."""
    floats = {_quoted(field.name) for field in schema if pa.types.is_floating(field.type)}
    finite = ", ".join(f"CASE WHEN isfinite({name}) THEN {name} END AS {name}" for name in floats)
    every = f"* REPLACE ({finite})" if finite else "*"
    written = f'SELECT CAST(to_json(" ") AS VARCHAR) FROM (SELECT {every} FROM result) AS " "'
    before = "["
    for batch in batches:
        if rows := _over(batch, written):
            yield before + ",\n ".join(row for (row,) in rows)
            before = ",\n "
    yield "[]" if before == "[" else "]"


def to_csv(schema: pa.Schema, batches: Batches) -> Iterator[str]:
    """Yield CSV with a header; NULL is empty."""
    yield _csv([schema.names])
    for batch in batches:
        yield _csv(to_text(batch))


def to_arrow(schema: pa.Schema, batches: Batches) -> Iterator[bytes]:
    """Yield an Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def to_text(rows: pa.Table | pa.RecordBatch) -> list[tuple[str | None, ...]]:
    """Return every cell as DuckDB would print it."""
    return _over(rows, "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM result") if rows.num_columns else []


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _csv(rows: Iterable[Iterable[str | None]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _over(rows: pa.Table | pa.RecordBatch, sql: str) -> list[Any]:
    with _engine().cursor() as connection:
        connection.register(
            "result", pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        )
        return connection.execute(sql).fetchall()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """Return a database without tables; one made for each answer would take 20 ms of it."""
    return duckdb.connect().execute("SET GLOBAL TimeZone = 'UTC'")
