"""SQL from outside: one read-only statement, checked on the syntax tree that DuckDB gives, then run."""

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import duckdb
import pyarrow as pa

MAX_SECONDS: Final = 60.0
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
}
_SCALARS_REFUSED: Final = {
    "getenv",
    "getvariable",
    "write_log",
    "repeat",
    "lpad",
    "rpad",
    "current_setting",
    "nextval",
    "query",
    "query_table",
}
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
        return cursor.sql(sql, params=parameters or None).to_arrow_table()
    except duckdb.InterruptException:
        took = time.monotonic() - started
        raise SqlFailed(f"the query was stopped after {took:.3g} s; the limit is {seconds:g} s") from None
    except (duckdb.Error, RuntimeError, UnicodeEncodeError) as error:
        raise SqlFailed(str(error).strip()) from None
    finally:
        timer.cancel()
        with suppress(duckdb.Error):
            cursor.execute("ROLLBACK")


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
    elif kind == "FUNCTION" and str(node.get("function_name", "")).lower() in _SCALARS_REFUSED:
        raise SqlRefused(f"the function {node['function_name']}() is not allowed here")
    elif kind == "BASE_TABLE" and any(mark in str(node.get("table_name")) for mark in _FILE_LIKE):
        raise SqlRefused("files cannot be read here; name a table or view")


def to_json(table: pa.Table) -> str:
    """Return a JSON list of one object a row, decimals exact, by DuckDB's own rules."""
    return (
        "["
        + ",\n ".join(row for (row,) in _over(table, "SELECT CAST(to_json(result) AS VARCHAR) FROM result"))
        + "]"
    )


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
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("result", table)
        return connection.execute(sql).fetchall()
