"""SQL from outside: one read-only statement, checked on the syntax tree that DuckDB gives, then run."""

import csv
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final

import duckdb
import pyarrow as pa

from tupletrace.processor.database import statement_names

ARROW: Final = "application/vnd.apache.arrow.stream"
"""Media type of an answer in Arrow."""
MAX_SECONDS: Final = 60.0
MAX_BYTES: Final = 256 * 2**20
"""Of one answer, which is held in memory: `FROM spans` must not end a processor."""
_QUERY_NODES: Final = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "VALUES_NODE"}
_TABLE_FUNCTIONS: Final = {
    "range",
    "generate_series",
    "unnest",
    "json_each",
    "json_tree",
    "duckdb_tables",
    "duckdb_views",
    "duckdb_columns",
    *statement_names("questions"),
}
_SCALARS_REFUSED: Final = {
    "array_resize",
    "bitstring",
    "current_setting",
    "getenv",
    "getvariable",
    "list_resize",
    "lpad",
    "nextval",
    "query",
    "query_table",
    "repeat",
    "rpad",
    "setseed",
    "setval",
    "sleep_ms",
    "write_log",
}
"""They read what is not in the tables, write, or make a value of any size, which no limit interrupts."""
_LISTS: Final = {"range", "generate_series"}
_FORMATS: Final = {"format", "printf"}
_HUGE: Final = re.compile(r"\d{7}")
_HUGE_WIDTH: Final = re.compile(r"\d{4}|\*|\{[^}]*\{")
_ROWS_A_BATCH: Final = 10_000
_FILE_LIKE: Final = ("/", "\\", ".", "*", "?")

Parameters = Sequence[Any] | Mapping[str, Any] | None


class SqlRefused(ValueError):
    """The statement is not a single read-only query, or asks for more than reading the tables."""


class SqlFailed(ValueError):
    """DuckDB could not run the query; the message is the first lines of its own."""


class Queries:
    """Answers any number of queries at once, each on a cursor of its own, until it is stopped."""

    def __init__(self, cursor: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        """Take a new cursor from ``cursor`` for each query."""
        self._cursor = cursor
        self._running: set[duckdb.DuckDBPyConnection] = set()
        self._changed = threading.Condition()
        self._stopping = False

    def run(self, sql: str, parameters: Parameters = None) -> pa.Table:
        """Run one query.

        Raises:
            SqlRefused, SqlFailed: as ``run`` does.
        """
        with self._cursor() as cursor:
            with self._changed:
                if self._stopping:
                    raise SqlFailed("the processor is stopping")
                self._running.add(cursor)
            try:
                return run(cursor, sql, parameters)
            finally:
                with self._changed:
                    self._running.discard(cursor)
                    self._changed.notify_all()

    def stop(self) -> None:
        """Interrupt what runs, refuse what comes."""
        with self._changed:
            self._stopping = True
            while self._running:
                for cursor in self._running:
                    cursor.interrupt()
                # Again: an interrupt between two statements of one query is lost.
                self._changed.wait(0.1)


def run(
    cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters = None, seconds: float = MAX_SECONDS
) -> pa.Table:
    """Run one query on a cursor of its own and return the whole answer.

    Raises:
        SqlRefused, SqlFailed: with a message for the person who wrote the SQL.
    """
    timer = threading.Timer(seconds, cursor.interrupt)
    started = time.monotonic()
    timer.start()
    try:
        sql.encode()  # lone surrogates end here
        check(cursor, sql)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        return _read(cursor.sql(sql, params=parameters or None).to_arrow_reader(_ROWS_A_BATCH))
    # What goes wrong while rows are read comes through Arrow as an OSError.
    except (duckdb.Error, RuntimeError, OSError, UnicodeEncodeError) as error:
        took = time.monotonic() - started
        if took >= seconds and "interrupt" in str(error).lower():
            raise SqlFailed(f"the query was stopped after {took:.3g} s; the limit is {seconds:g} s") from None
        raise SqlFailed(str(error).strip()) from None
    finally:
        timer.cancel()
        with suppress(duckdb.Error):
            cursor.execute("ROLLBACK")


def _read(reader: pa.RecordBatchReader) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in reader:
        size += batch.nbytes
        if size > MAX_BYTES:
            raise SqlFailed(
                f"the answer has more than {MAX_BYTES // 2**20} MiB; ask for less, or add a LIMIT"
            )
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema).rename_columns(_distinct(reader.schema.names))


def _distinct(names: list[str]) -> list[str]:
    """Name equal columns apart as DuckDB does, which knows no case: a, a_1."""
    taken: dict[str, str] = {}
    for name in names:
        number, own = 0, name
        while own.lower() in taken:
            number += 1
            own = f"{name}_{number}"
        taken[own.lower()] = own
    return list(taken.values())


def check(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise ``SqlRefused`` unless this is one query that only reads tables, ``SqlFailed`` if it is no SQL."""
    try:
        statements = cursor.extract_statements(sql)
    except duckdb.Error as error:
        raise SqlFailed(str(error).strip()) from None
    if len(statements) != 1:
        raise SqlRefused(f"send one statement, not {len(statements)}")
    ((tree,),) = cursor.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [sql]).fetchall()
    parsed = json.loads(tree)
    if parsed["error"]:
        raise SqlRefused(
            "only SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW and SUMMARIZE are answered: read-only SQL"
        )
    for node in _nodes(parsed["statements"]):
        _check_node(node)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _check_node(node: dict[str, Any]) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        raise SqlRefused(
            f"a query may not contain {kind.removesuffix('_NODE').replace('_', ' ').lower()}: read-only SQL"
        )
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in _TABLE_FUNCTIONS:
            raise SqlRefused(f"the table function {name}() is not allowed here")
        # Rows come one after the other and can be interrupted, unlike a list.
        node["function"]["type"] = "TABLE"
    elif kind == "FUNCTION":
        _check_function(str(node.get("function_name", "")).lower(), node)
    elif kind == "BASE_TABLE" and any(mark in str(node.get("table_name")) for mark in _FILE_LIKE):
        raise SqlRefused("files cannot be read here; name a table or view")


def _check_function(name: str, node: dict[str, Any]) -> None:
    if name in _SCALARS_REFUSED:
        raise SqlRefused(f"the function {name}() is not allowed here")
    if name in _LISTS | _FORMATS:
        # DuckDB 2 wraps each argument once more than 1.5.
        arguments = [
            one.get("expression", one) for one in node.get("arguments") or node.get("children") or []
        ]
        for one in arguments[:1] if name in _FORMATS else arguments:
            literal = one.get("literal") or one.get("value") or {}
            said = str(literal.get("text", literal.get("value")))
            large = _HUGE_WIDTH if name in _FORMATS else _HUGE
            if one.get("class") != "CONSTANT" or large.search(said):
                raise SqlRefused(f"{name}() takes small constants here")


def to_json(table: pa.Table) -> str:
    """Return a JSON list of one object a row, decimals exact, NaN and infinity as null."""
    floats = {_quoted(field.name) for field in table.schema if pa.types.is_floating(field.type)}
    finite = ", ".join(f"CASE WHEN isfinite({name}) THEN {name} END AS {name}" for name in floats)
    every = f"* REPLACE ({finite})" if finite else "*"
    rows = _over(table, f'SELECT CAST(to_json(" ") AS VARCHAR) FROM (SELECT {every} FROM result) AS " "')
    return "[" + ",\n ".join(row for (row,) in rows) + "]"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def to_csv(table: pa.Table) -> str:
    """Return CSV with a header; NULL is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(_over(table, "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM result"))
    return text.getvalue()


def to_text(table: pa.Table) -> list[tuple[str | None, ...]]:
    """Return every cell as DuckDB would print it."""
    return _over(table, "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM result")


def _over(table: pa.Table, sql: str) -> list[Any]:
    if not table.num_columns:
        return []
    with _engine().cursor() as connection:
        connection.register("result", table)
        return connection.execute(sql).fetchall()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """Return a database without tables; one made for each answer would take 20 ms of it."""
    return duckdb.connect().execute("SET GLOBAL TimeZone = 'UTC'")
