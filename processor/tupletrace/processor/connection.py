"""Answers for Python: each a DuckDB relation, which becomes a frame without being copied."""

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

import duckdb
import pyarrow as pa

from tupletrace.processor import ask
from tupletrace.processor.database import not_for_forks
from tupletrace.processor.query import Parameters
from tupletrace.processor.schema import StoreError


class Connection:
    """Asks one database, whether a processor is running on it or not, from any thread."""

    def __init__(self, opened: Callable[[], AbstractContextManager[ask.Ask]]) -> None:
        self._open, self._process = opened, os.getpid()
        self._opened = ExitStack()
        self._answer = self._opened.enter_context(opened())
        self._relations = not_for_forks(duckdb.connect()).execute("SET GLOBAL TimeZone = 'UTC'")

    def sql(self, sql: str, parameters: Parameters = None) -> duckdb.DuckDBPyRelation:
        """Return the answer to one read-only query, held in memory: ``.df()``, ``.pl()``, ``.fetchall()``.

        Raises:
            SqlRefused, SqlFailed: with a message for who wrote the SQL.
            StoreError: the processor does not answer, or this is a fork of the process that connected.
        """
        if os.getpid() != self._process:
            raise StoreError(
                f"process {self._process} connected, of which this is a fork: connect after the fork"
            )
        # Each on a connection of its own: one does not serve two threads.
        return self._relations.cursor().from_arrow(self._answered(sql, parameters))

    def _answered(self, sql: str, parameters: Parameters) -> pa.Table:
        try:
            return self._answer(sql, parameters)
        except StoreError:
            # That processor has gone: another one has the file now, or nobody.
            self._opened.close()
            self._answer = self._opened.enter_context(self._open())
            return self._answer(sql, parameters)

    def close(self) -> None:
        """Forget the answers that were not taken."""
        if os.getpid() != self._process:
            return
        self._relations.close()
        self._opened.close()


@contextmanager
def connected(source: str | Path) -> Generator[Connection]:
    """Yield a connection to a database file, or to a processor by its URL."""
    if str(source).startswith(("http://", "https://")):
        connection = Connection(lambda: nullcontext(ask.Processor(str(source)).sql))
    else:
        path = Path(source).expanduser().absolute()
        connection = Connection(lambda: ask.database(path))
    try:
        yield connection
    finally:
        connection.close()
