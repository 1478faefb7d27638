"""SQL from outside: one read-only statement, checked on the syntax tree that DuckDB gives, then run."""

import json
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

import duckdb
import pyarrow as pa

from tupletrace.processor.database import statement_names

ARROW: Final = "application/vnd.apache.arrow.stream"
"""Media type of an answer in Arrow."""
MAX_SECONDS: Final = 60.0
MAX_BYTES: Final = 256 * 2**20
"""Of one answer that is held in memory whole: `FROM spans` must not end a process."""
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
    "damerau_levenshtein",
    "editdist3",
    "getenv",
    "getvariable",
    "jaro_similarity",
    "jaro_winkler_similarity",
    "levenshtein",
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
"""They read what is not in the tables, write, make a value of any size, or take time by the square of its
size: what happens in a single value no limit interrupts."""
_LISTS: Final = {"range", "generate_series"}
_FORMATS: Final = {"format", "printf"}
_REPLACES: Final = {"replace", "regexp_replace"}
_HUGE: Final = re.compile(r"\d{6}")
_LONG: Final = re.compile(r".{100}", re.DOTALL)
_HUGE_WIDTH: Final = re.compile(r"\d{4}|\*|\{[^}]*\{")
_IS_TABLE: Final = "SELECT 1 FROM duckdb_columns() WHERE lower(table_name) = lower(trim(?, '\"'))"
_COMMENT: Final = r"(?:\s|--[^\n]*\n|/\*.*?\*/)"
_EXPLAIN: Final = re.compile(
    rf"{_COMMENT}*EXPLAIN(?:{_COMMENT}+ANALYZE)?(?={_COMMENT}|\()"
    r"(?:\s*\(\s*(?:ANALYZE|FORMAT\s+\w+)(?:\s*,\s*(?:ANALYZE|FORMAT\s+\w+))*\s*\))?",
    re.IGNORECASE | re.DOTALL,
)
_ROWS_A_BATCH: Final = 10_000
_FILE_LIKE: Final = ("/", "\\", ".", "*", "?")

Parameters = Sequence[Any] | Mapping[str, Any] | None


class SqlRefused(ValueError):
    """The statement is not a single read-only query, or asks for more than reading the tables."""


class SqlFailed(ValueError):
    """DuckDB could not run the query; the message is the first lines of its own."""


class Answer:
    """The rows of one query as they come, on a cursor of its own; for a ``with``."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        seconds: float = MAX_SECONDS,
        queries: "Queries | None" = None,
    ) -> None:
        """Count ``seconds`` from now until the last row is taken."""
        self._cursor, self._seconds, self._queries = cursor, seconds, queries
        self._started, self._interrupted = time.monotonic(), False
        self._timer = threading.Timer(seconds, self.interrupt)
        self._timer.start()

    def ask(self, sql: str, parameters: Parameters = None) -> Self:
        """Check and run the query; ``schema`` and the batches of its rows can be had then.

        Raises:
            SqlRefused, SqlFailed: with a message for the person who wrote the SQL.
        """
        with self._failing():
            sql.encode()  # lone surrogates end here
            check(self._cursor, sql)
            self._cursor.execute("BEGIN TRANSACTION READ ONLY")
            self._go_on()
            self._reader = self._cursor.sql(sql, params=parameters or None).to_arrow_reader(_ROWS_A_BATCH)
            names = _distinct(self._reader.schema.names)
            self.schema = pa.schema(
                [field.with_name(name) for field, name in zip(self._reader.schema, names, strict=True)]
            )
        return self

    def parameters(self, sql: str) -> list[str]:
        """Check the query and return the names of its parameters, in order: 1, 2 … or their own."""
        with self._failing():
            check(self._cursor, sql)
            (one,) = self._cursor.extract_statements(sql)
            return sorted(one.named_parameters, key=lambda name: (len(name) if name.isdigit() else 0, name))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows; raise ``SqlFailed`` where no more can be had."""
        with self._failing():
            for batch in self._reader:
                self._go_on()
                yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def interrupt(self) -> None:
        """End it, from any thread; again if nothing happens: between two statements it is not heard."""
        self._interrupted = True
        self._cursor.interrupt()

    def close(self) -> None:
        """Give the cursor back."""
        self._timer.cancel()
        with suppress(duckdb.Error):
            self._cursor.execute("ROLLBACK")
        self._cursor.close()
        if self._queries:
            self._queries.closed(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _go_on(self) -> None:
        if self._interrupted:
            raise duckdb.InterruptException("interrupted")

    @contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        # What goes wrong while rows are read comes through Arrow as an OSError.
        except (duckdb.Error, RuntimeError, OSError, UnicodeEncodeError) as error:
            took = time.monotonic() - self._started
            said = str(error).strip()
            if took >= self._seconds and "interrupt" in said.lower():
                said = f"the query was stopped after {took:.3g} s; the limit is {self._seconds:g} s"
            failed = SqlFailed(said)
            if self._queries:
                self._queries.failed(failed)
            raise failed from None


class Queries:
    """Answers any number of queries at once, each on a cursor of its own, until it is stopped."""

    def __init__(
        self, cursor: Callable[[], duckdb.DuckDBPyConnection], failed: Callable[[Exception], None]
    ) -> None:
        """Take a new cursor from ``cursor`` for each query; tell ``failed`` of those that cannot be run."""
        self._cursor, self.failed = cursor, failed
        self._running: set[Answer] = set()
        self._changed = threading.Condition()
        self._stopping = False

    def open(self) -> Answer:
        """Return who runs one query.

        Raises:
            SqlFailed: it is stopped, or the database cannot be used.
        """
        with self._changed:
            if self._stopping:
                raise SqlFailed("the processor is stopping")
            try:
                answer = Answer(self._cursor(), queries=self)
            except duckdb.Error as error:
                self.failed(error)
                raise SqlFailed(str(error).strip()) from None
            self._running.add(answer)
        return answer

    def __len__(self) -> int:
        """Return how many are under way."""
        return len(self._running)

    def closed(self, answer: Answer) -> None:
        """Forget one that was opened here."""
        with self._changed:
            self._running.discard(answer)
            self._changed.notify_all()

    def run(self, sql: str, parameters: Parameters = None) -> pa.Table:
        """Run one query and return the whole answer.

        Raises:
            SqlRefused, SqlFailed: as ``Answer.ask`` does, and if the answer is too large.
        """
        with self.open() as answer:
            answer.ask(sql, parameters)
            return whole(answer.schema, answer)

    def parameters(self, sql: str) -> list[str]:
        """Check a query and return the names of its parameters, in order: 1, 2 … or their own.

        Raises:
            SqlRefused, SqlFailed: as ``Answer.ask`` does.
        """
        with self.open() as answer:
            return answer.parameters(sql)

    def stop(self) -> None:
        """Interrupt what runs, refuse what comes."""
        with self._changed:
            self._stopping = True
            while self._running:
                for answer in self._running:
                    answer.interrupt()
                self._changed.wait(0.1)


def run(
    cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters = None, seconds: float = MAX_SECONDS
) -> pa.Table:
    """Run one query on a cursor of its own, which is closed then, and return the whole answer.

    Raises:
        SqlRefused, SqlFailed: as ``Answer.ask`` does, and if the answer is too large.
    """
    with Answer(cursor, seconds) as answer:
        answer.ask(sql, parameters)
        return whole(answer.schema, answer)


def whole(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Return an answer in memory.

    Raises:
        SqlFailed: it is too large for that.
    """
    kept: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        size += batch.nbytes
        if size > MAX_BYTES:
            raise SqlFailed(
                f"the answer has more than {MAX_BYTES // 2**20} MiB; ask for less, or add a LIMIT"
            )
        kept.append(batch)
    return pa.Table.from_batches(kept, schema)


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
    # What is explained is checked as if it were asked: with ANALYZE it is run.
    explained = _EXPLAIN.match(sql)
    asked = sql[explained.end() :] if explained else sql
    ((tree,),) = cursor.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [asked]).fetchall()
    parsed = json.loads(tree)
    if parsed["error"]:
        raise SqlRefused(
            "only SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN of these and PIVOT with the "
            "values that become columns, ON ... IN (...), are answered: read-only SQL"
        )
    for node in _nodes(parsed["statements"]):
        _check_node(node)
        # SHOW tells of a setting where there is no such table.
        if node.get("show_type") == "SHOW" and not cursor.execute(_IS_TABLE, [node["table_name"]]).fetchall():
            raise SqlRefused("settings cannot be read here, and there is no table of this name")


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
    elif node.get("class") == "LAMBDA":
        inner = {str(one.get("function_name", "")).lower() for one in _nodes(node)}
        if inner & _LISTS:
            raise SqlRefused("a lambda may not make lists")
    elif kind == "FUNCTION":
        _check_function(str(node.get("function_name", "")).lower(), node)
    elif kind == "BASE_TABLE" and any(mark in str(node.get("table_name")) for mark in _FILE_LIKE):
        raise SqlRefused("files cannot be read here; name a table or view")
    elif kind == "BASE_TABLE" and str(node.get("table_name")).lower() == "pg_settings":
        raise SqlRefused("settings cannot be read here")


def _check_function(name: str, node: dict[str, Any]) -> None:
    if name in _SCALARS_REFUSED:
        raise SqlRefused(f"the function {name}() is not allowed here")
    if name in _LISTS | _FORMATS | _REPLACES:
        # DuckDB 2 wraps each argument once more than 1.5.
        arguments = [
            one.get("expression", one) for one in node.get("arguments") or node.get("children") or []
        ]
        large = _HUGE if name in _LISTS else _HUGE_WIDTH if name in _FORMATS else _LONG
        checked = arguments if name in _LISTS else arguments[:1] if name in _FORMATS else arguments[2:3]
        for one in checked:
            literal = one.get("literal") or one.get("value") or {}
            said = str(literal.get("text", literal.get("value")))
            if one.get("class") != "CONSTANT" or large.search(said):
                raise SqlRefused(f"{name}() takes small constants here")
