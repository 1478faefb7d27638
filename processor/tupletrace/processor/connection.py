"""Answers for Python: each a DuckDB relation, which becomes a frame without being copied."""

from collections.abc import Generator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import duckdb

from tupletrace.processor import ask
from tupletrace.processor.query import Parameters


class Connection:
    """Asks one database, whether a processor is running on it or not."""

    def __init__(self, answer: ask.Ask) -> None:
        self._answer = answer
        self._relations = duckdb.connect()

    def sql(self, sql: str, parameters: Parameters = None) -> duckdb.DuckDBPyRelation:
        """Return the answer to one read-only query, held in memory: ``.df()``, ``.pl()``, ``.fetchall()``.

        Raises:
            SqlRefused, SqlFailed: with a message for who wrote the SQL.
            StoreError: the processor does not answer.
        """
        return self._relations.from_arrow(self._answer(sql, parameters))

    def close(self) -> None:
        """Forget the answers that were not taken."""
        self._relations.close()


@contextmanager
def connected(source: str | Path) -> Generator[Connection]:
    """Yield a connection to a database file, or to a processor by its URL."""
    if str(source).startswith(("http://", "https://")):
        answering = nullcontext(ask.Processor(str(source)).sql)
    else:
        answering = ask.database(Path(source).expanduser().absolute())
    with answering as answer, closing(Connection(answer)) as connection:
        yield connection
