"""The DuckDB file: an index of the journal, made by the SQL files beside this module."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tupletrace.processor import prices
from tupletrace.processor.database import connect, needs_reconnect, reconnect, statement, transaction


class Store:
    """One open DuckDB file. Writes come from one thread; readers take a ``cursor`` each."""

    def __init__(self, path: Path) -> None:
        """Open or create the file and bring its tables and views up.

        Raises:
            StoreError: not a DuckDB file, not ours, or made by a newer tupletrace.
        """
        self._path = path
        self._connection = connect(path)
        try:
            self._opened()
        except duckdb.Error as error:
            self.recover(error)

    def recover(self, error: Exception) -> None:
        """Open the file again after an error that ended the connection; what is damaged is made anew.

        Raises:
            Exception: the error itself, if opening it again is no remedy.
        """
        if not needs_reconnect(error):
            raise error
        self._connection.close()
        self._connection = reconnect(self._path, error)
        self._opened()

    def _opened(self) -> None:
        self._priced: set[prices.Model] = set()
        self._unsettled = True
        self._refresh_prices()

    @property
    def journal_seq(self) -> int:
        """The last journalled request that is indexed here."""
        ((seq,),) = self._rows("SELECT max(value) FROM meta WHERE key = 'journal_seq'")
        return int(seq)

    def insert(self, batch: pa.Table, journal_seq: int) -> None:
        """Store normalised spans and the journal position they reach, in one transaction."""
        met = set[prices.Model]()
        with transaction(self._connection) as connection:
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
        with transaction(self._connection) as connection:
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
        with transaction(self._connection) as connection:
            connection.execute("DELETE FROM price_book")
            _add_prices(connection, set(known))

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()


def _add_prices(connection: duckdb.DuckDBPyConnection, models: set[prices.Model]) -> None:
    if models:
        connection.register("price_rows", prices.price_rows(sorted(models, key=str)))
        connection.execute("INSERT INTO price_book BY NAME SELECT * FROM price_rows")
        connection.unregister("price_rows")
