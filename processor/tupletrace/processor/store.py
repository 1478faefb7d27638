"""The DuckDB file: an index of the journal, made by the SQL files beside this module."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from tupletrace.processor import prices

SCHEMA_VERSION: Final = 3
_SQL: Final = files("tupletrace.processor") / "sql"
_MEMORY_SHARE: Final = 0.5
"""Of the machine's (or the cgroup's) memory; the rest: Arrow batches, the journal, the kernel's cache."""


class StoreError(RuntimeError):
    """The database file cannot be used; the message says why and what to do."""


def statement(name: str) -> str:
    """Return the text of one SQL file of ``sql/``, for instance ``statements/insert_spans``."""
    return (_SQL / f"{name}.sql").read_text("utf-8")


def _memory_limit() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cgroup = Path("/sys/fs/cgroup/memory.max")
    if cgroup.exists() and (limit := cgroup.read_text().strip()).isdigit():
        total = min(total, int(limit))
    return f"{int(total * _MEMORY_SHARE) // 2**20}MiB"


class Store:
    """One open DuckDB file. Writes come from one thread; readers take a ``cursor`` each."""

    def __init__(self, path: Path) -> None:
        """Open or create the file and bring its tables and views up.

        Raises:
            StoreError: not a DuckDB file, not ours, or made by a newer tupletrace.
        """
        try:
            self._connection = duckdb.connect(
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
            self._check_ours(path)
        except StoreError:
            self.close()
            raise
        path.chmod(0o600)
        self._create()
        # Not in the configuration: DuckDB then refuses the temp_directory beside it.
        self._connection.execute(
            "SET GLOBAL TimeZone = 'UTC'; SET enable_external_access = false; SET lock_configuration = true"
        )
        self._priced: set[prices.Model] = set()
        self._unsettled = True
        self._refresh_prices()

    def _check_ours(self, path: Path) -> None:
        if not self._rows(
            "SELECT 1 FROM duckdb_tables() UNION ALL SELECT 1 FROM duckdb_views() WHERE NOT internal"
        ):
            return
        try:
            ((found,),) = self._rows("SELECT max(value) FROM meta WHERE key = 'schema_version'")
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

    def _create(self) -> None:
        with self._transaction() as connection:
            for folder in ("schema", "views"):
                for name in statement_names(folder):
                    connection.execute(statement(f"{folder}/{name}"))
            if not self._rows("SELECT 1 FROM meta WHERE key = 'schema_version'"):
                connection.execute(
                    "INSERT INTO meta VALUES ('schema_version', ?), ('journal_seq', 0)", [SCHEMA_VERSION]
                )

    @property
    def journal_seq(self) -> int:
        """The last journalled request that is indexed here."""
        ((seq,),) = self._rows("SELECT max(value) FROM meta WHERE key = 'journal_seq'")
        return int(seq)

    def insert(self, batch: pa.Table, journal_seq: int) -> None:
        """Store normalised spans and the journal position they reach, in one transaction."""
        met = set[prices.Model]()
        with self._transaction() as connection:
            if batch.num_rows:
                self._unsettled = True
                connection.register("batch", batch)
                connection.execute(statement("statements/insert_spans"))
                connection.execute(statement("statements/insert_evaluations"))
                connection.execute(statement("statements/reopen_traces"))
                met = self._price(connection)
                connection.unregister("batch")
            connection.execute("UPDATE meta SET value = ? WHERE key = 'journal_seq'", [journal_seq])
        self._priced |= met

    def settle(self, quiet_ms: int) -> None:
        """Write the rollups of traces that received nothing for ``quiet_ms``."""
        if not self._unsettled:
            return
        with self._transaction() as connection:
            settling, *following = statement("statements/settle_traces").split(";\n\n")
            connection.execute(settling, {"quiet_ms": quiet_ms})
            if self._rows("SELECT 1 FROM quiet LIMIT 1"):
                connection.execute(";\n\n".join(following))
        self._unsettled = bool(self._rows("SELECT 1 FROM open_traces LIMIT 1"))

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of its own for one reader."""
        return self._connection.cursor()

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        self._connection.close()

    def _price(self, connection: duckdb.DuckDBPyConnection) -> set[prices.Model]:
        """Look up the models that this batch is the first to name."""
        met = {
            prices.Model(*row)
            for row in self._rows(
                "SELECT DISTINCT provider_name, coalesce(response_model, request_model), service_tier "
                "FROM batch WHERE coalesce(response_model, request_model) IS NOT NULL"
            )
        }
        # Another span may know the provider of a call, or its service tier.
        known = met | self._priced
        providers, tiers = {one.provider_name for one in known}, {one.service_tier for one in known}
        for one in [one for one in known if one.provider_name is None]:
            met |= {prices.Model(name, one.model, one.service_tier) for name in providers}
        for one in [one for one in known if one.service_tier is None]:
            met |= {prices.Model(one.provider_name, one.model, tier) for tier in tiers}
        met -= self._priced
        _add_prices(connection, met)
        return met

    def _refresh_prices(self) -> None:
        """Look every model up again when another version of the prices is installed."""
        known = {
            prices.Model(*row): source
            for *row, source in self._rows(
                "SELECT DISTINCT provider_name, model, service_tier, source FROM price_book"
            )
        }
        self._priced = set(known)
        if set(known.values()) <= {prices.SOURCE}:
            return
        with self._transaction() as connection:
            connection.execute("DELETE FROM price_book")
            _add_prices(connection, set(known))

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    @contextmanager
    def _transaction(self) -> Generator[duckdb.DuckDBPyConnection]:
        self._connection.execute("BEGIN")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _add_prices(connection: duckdb.DuckDBPyConnection, models: set[prices.Model]) -> None:
    if models:
        connection.register("price_rows", prices.price_rows(sorted(models, key=str)))
        connection.execute("INSERT INTO price_book BY NAME SELECT * FROM price_rows")
        connection.unregister("price_rows")


def statement_names(folder: str) -> list[str]:
    """Return the names in a folder's ``_order`` file: what is created, first to last."""
    return (_SQL / folder / "_order").read_text("utf-8").split()
