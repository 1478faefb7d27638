"""SQL from outside: one read-only statement, checked, then run."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

import duckdb
import pyarrow as pa

from tupletrace.processor.lockdown import SqlFailed as SqlFailed
from tupletrace.processor.lockdown import SqlRefused as SqlRefused
from tupletrace.processor.lockdown import check

ARROW: Final = "application/vnd.apache.arrow.stream"
"""Media type of an answer in Arrow."""
MAX_SECONDS: Final = 60.0
MAX_BYTES: Final = 256 * 2**20
"""Of one answer that is held in memory whole: `FROM spans` must not end a process."""
_ROWS_A_BATCH: Final = 10_000
_AGAIN_S: Final = 0.1
Parameters = Sequence[Any] | Mapping[str, Any] | None


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
        self._reader: pa.RecordBatchReader | None = None
        self._taking = threading.Lock()
        # Also if nobody takes its rows: an open transaction keeps changes from being brought to disk.
        self._timer = threading.Timer(seconds, self._end, (True,))
        self._timer.start()

    def ask(self, sql: str, parameters: Parameters = None) -> Self:
        """Check and run the query; ``schema`` and the batches of its rows can be had then.

        Raises:
            SqlRefused, SqlFailed: with a message for the person who wrote the SQL.
        """
        with self._failing(), self._taking:
            sql.encode()  # lone surrogates end here
            check(self._cursor, sql)
            self._cursor.execute("BEGIN TRANSACTION READ ONLY")
            self._go_on()
            self._reader = reader = self._cursor.sql(sql, params=parameters or None).to_arrow_reader(
                _ROWS_A_BATCH
            )
            names = _distinct(reader.schema.names)
            self.schema = pa.schema(
                [field.with_name(name) for field, name in zip(reader.schema, names, strict=True)]
            )
        return self

    def parameters(self, sql: str) -> list[str]:
        """Check the query and return the names of its parameters, in order: 1, 2 … or their own."""
        with self._failing(), self._taking:
            check(self._cursor, sql)
            (one,) = self._cursor.extract_statements(sql)
            return sorted(one.named_parameters, key=lambda name: (len(name) if name.isdigit() else 0, name))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows; raise ``SqlFailed`` where no more can be had."""
        with self._failing():
            while True:
                with self._taking:
                    self._go_on()
                    batch = next(self._reader, None) if self._reader else None
                if batch is None:
                    return
                yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def interrupt(self) -> None:
        """End it, from any thread; again if nothing happens: between two statements it is not heard."""
        self._interrupted = True
        self._cursor.interrupt()

    def close(self) -> None:
        """Give the cursor back."""
        self._timer.cancel()
        self._end(False)
        self._cursor.close()
        if self._queries:
            self._queries.closed(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, over: bool) -> None:
        """End the transaction, as soon as nobody is in it."""
        if over:
            self.interrupt()
        while not self._taking.acquire(timeout=_AGAIN_S):
            self.interrupt()
        try:
            with suppress(duckdb.Error, OSError):
                if self._reader:
                    self._reader.close()
                self._reader = None
                self._cursor.execute("ROLLBACK")
        finally:
            self._taking.release()

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
            said = str(error).partition("\n\nStack Trace")[0].strip()
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
