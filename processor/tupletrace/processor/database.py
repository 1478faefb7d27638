"""The DuckDB file: opened, checked that it is ours, and brought up to this version's tables and views."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

SCHEMA_VERSION: Final = 3
_SQL: Final = files("tupletrace.processor") / "sql"
_MEMORY_SHARE: Final = 0.5
"""Of the machine's (or the cgroup's) memory; the rest: Arrow batches, the journal, the kernel's cache."""


class StoreError(RuntimeError):
    """The database file cannot be used; the message says why and what to do."""


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Open or create the file and bring its tables and views up.

    Raises:
        StoreError: not a DuckDB file, not ours, or made by a newer tupletrace.
    """
    try:
        connection = duckdb.connect(
            str(path),
            # In the configuration, not set later: replay of the write-ahead log already needs them.
            config={
                "memory_limit": _memory_limit(),
                "temp_directory": str(path.with_name(path.name + ".tmp")),
                "storage_compatibility_version": "v1.5.0",
                # 256 MB: 82 k spans/s; the default 16 MB re-compresses row groups again and again: 27 k.
                "wal_autocheckpoint": "256MB",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            },
        )
    except duckdb.Error as error:
        first_line = str(error).splitlines()[0]
        raise StoreError(f"{path} cannot be opened as a DuckDB file: {first_line}") from None
    try:
        _check_ours(connection, path)
    except StoreError:
        connection.close()
        raise
    path.chmod(0o600)
    _create(connection)
    # Not in the configuration: DuckDB then refuses the temp_directory beside it.
    connection.execute(
        "SET GLOBAL TimeZone = 'UTC'; SET enable_external_access = false; SET lock_configuration = true"
    )
    return connection


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
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _memory_limit() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cgroup = Path("/sys/fs/cgroup/memory.max")
    if cgroup.exists() and (limit := cgroup.read_text().strip()).isdigit():
        total = min(total, int(limit))
    return f"{int(total * _MEMORY_SHARE) // 2**20}MiB"


def _check_ours(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    if not connection.execute(
        "SELECT 1 FROM duckdb_tables() UNION ALL SELECT 1 FROM duckdb_views() WHERE NOT internal"
    ).fetchall():
        return
    try:
        ((found,),) = connection.execute(
            "SELECT max(value) FROM meta WHERE key = 'schema_version'"
        ).fetchall()
    except duckdb.Error:
        found = None
    if found is None:
        raise StoreError(
            f"{path} is a DuckDB file of something else (no tupletrace tables); name another --db"
        )
    if found != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {found}, this tupletrace knows {SCHEMA_VERSION}: "
            "upgrade tupletrace, or name another --db"
        )


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    with transaction(connection):
        for folder in ("schema", "views"):
            for name in statement_names(folder):
                connection.execute(statement(f"{folder}/{name}"))
        if not connection.execute("SELECT 1 FROM meta WHERE key = 'schema_version'").fetchall():
            connection.execute(
                "INSERT INTO meta VALUES ('schema_version', ?), ('journal_seq', 0)", [SCHEMA_VERSION]
            )
