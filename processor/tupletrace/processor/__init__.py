"""OTLP in, rows out, SQL on top."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tupletrace.processor.connection import Connection

__all__ = ["connect"]


def connect(source: str | Path = "~/.tupletrace/tupletrace.duckdb") -> "AbstractContextManager[Connection]":
    """Connect to a database file, or to a processor by its URL, for reading; use it in a ``with``.

    ``connection.sql("FROM traces").pl()`` is a polars frame; ``.df()`` pandas, ``.to_arrow_table()`` Arrow.

    Raises:
        StoreError: there is nothing to read at the source.
    """
    # Here, so that `tupletrace doctor` works without the server's packages.
    from tupletrace.processor.connection import connected

    return connected(source)
