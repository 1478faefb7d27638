"""The tables and views of this version, from the files of ``sql/``: made, migrated, checked."""

import hashlib
import logging
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from tupletrace.processor import failpoint

_logger: Final = logging.getLogger(__name__)
_SQL: Final = files("tupletrace.processor") / "sql"
VIEWS: Final = "views"
"""Key in ``meta``: a fingerprint of the views and macros that the file has."""


class StoreError(RuntimeError):
    """The database file cannot be used; the message says why and what to do."""


class Unusable(StoreError):
    """What the file holds is no database of this version: it can be made again from the journal."""


def statement(name: str) -> str:
    """Return the text of one SQL file of ``sql/``, for instance ``statements/insert_spans``."""
    return (_SQL / f"{name}.sql").read_text("utf-8")


def statement_names(folder: str) -> list[str]:
    """Return the names in a folder's ``_order`` file: what is created, first to last."""
    return (_SQL / folder / "_order").read_text("utf-8").split()


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Generator[duckdb.DuckDBPyConnection]:
    """Commit what is done inside, or nothing of it."""
    connection.execute("BEGIN")
    failpoint.passing("database.begun")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    failpoint.passing("database.written")
    connection.execute("COMMIT")
    failpoint.passing("database.committed")


def checked_version(connection: duckdb.DuckDBPyConnection, path: Path) -> int | None:
    """Return which version of our schema the file has, None for an empty one."""
    if not connection.execute(
        "SELECT 1 FROM duckdb_tables() UNION ALL SELECT 1 FROM duckdb_views() WHERE NOT internal"
    ).fetchall():
        return None
    asked = "SELECT max(value) FROM meta WHERE key = 'schema_version'"
    try:
        ((found,),) = connection.execute(asked).fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        found = None
    if found is None:
        raise Unusable(f"{path} is a DuckDB file of something else (no tupletrace tables)")
    if not _OLDEST_VERSION <= found <= SCHEMA_VERSION:
        raise Unusable(
            f"{path} has schema version {found}, this tupletrace knows "
            f"{_OLDEST_VERSION} to {SCHEMA_VERSION}: another version of tupletrace made it"
        )
    return found


def create(connection: duckdb.DuckDBPyConnection, path: Path, found: int | None) -> None:
    """Bring the tables and views of ``found``, None for an empty file, up to this version.

    Raises:
        Unusable: its tables are not what its version says.
    """
    older = found if found is not None and found < SCHEMA_VERSION else None
    with transaction(connection):
        if older is not None:
            _migrate(connection, older)
        if found is not None:
            _check_tables(connection, path)
        for name in statement_names("schema"):
            connection.execute(statement(f"schema/{name}"))
        _create_views(connection)
        if found is None:
            connection.execute(
                "INSERT INTO meta VALUES ('schema_version', ?), ('journal_seq', 0)", [SCHEMA_VERSION]
            )
        if older is not None:
            connection.execute(statement("statements/open_every_trace"))
            said = (
                "%s is brought from schema version %d to %d; to read anew what it holds: `tupletrace rebuild`"
            )
            _logger.warning(said, path, older, SCHEMA_VERSION)


def _create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make views and macros if the file has not those of this version: that takes DuckDB seconds."""
    folders = ("views", "questions")
    texts = [statement(f"{folder}/{name}") for folder in folders for name in statement_names(folder)]
    made = int(hashlib.sha256("".join(texts).encode()).hexdigest()[:15], 16)
    if not connection.execute("SELECT 1 FROM meta WHERE key = ? AND value = ?", [VIEWS, made]).fetchall():
        for text in texts:
            connection.execute(text)
        connection.execute("DELETE FROM meta WHERE key = ?", [VIEWS])
        connection.execute("INSERT INTO meta VALUES (?, ?)", [VIEWS, made])


def _migrate(connection: duckdb.DuckDBPyConnection, found: int) -> None:
    # What is derived is made anew: views of the past may read what a migration takes away.
    for (drop,) in connection.execute(statement("statements/drop_derived")).fetchall():
        connection.execute(drop)
    for name in statement_names("migrations"):
        if _reaches(name) > found:
            connection.execute(statement(f"migrations/{name}"))
    for name in statement_names("schema"):
        connection.execute(statement(f"schema/{name}"))
    connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", [SCHEMA_VERSION])
    connection.execute("DELETE FROM meta WHERE key = ?", [VIEWS])


def _check_tables(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Compare with tables made afresh: a file may say a version and have been changed by somebody else."""
    asked = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE table_name IN " + str(
        tuple(statement_names("schema"))
    )
    with duckdb.connect(":memory:") as fresh:
        for name in statement_names("schema"):
            fresh.execute(statement(f"schema/{name}"))
        missing = set(fresh.execute(asked).fetchall()) - set(connection.execute(asked).fetchall())
    if missing:
        table, column, _ = min(missing)
        raise Unusable(f"{path} is not of schema version {SCHEMA_VERSION}: {table}.{column} is not as it is")


def _reaches(migration: str) -> int:
    return int(migration.partition("_")[0])


SCHEMA_VERSION: Final = _reaches(statement_names("migrations")[-1])
_OLDEST_VERSION: Final = _reaches(statement_names("migrations")[0]) - 1
