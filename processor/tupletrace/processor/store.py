"""The DuckDB file: an index of the journal, made by the SQL files beside this module."""

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor import estimate, failpoint, judging, own_prices, prices, settings, telling
from tupletrace.processor.database import connect, needs_reconnect, reconnect, room, use
from tupletrace.processor.registered import registered
from tupletrace.processor.schema import StoreError, statement, transaction
from tupletrace.processor.seen import Hashes, SeenTraces

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_CHECKPOINT_BYTES: Final = 128 * 2**20
"""Of Arrow."""
_CHECKPOINT_S: Final = 60.0
_LULL_S: Final = 4.0
_MANY: Final = 16_384
"""So many spans take memory, uncompressed, while nothing comes: they are brought to disk before that."""
_MERGE_AFTER: Final = 50
"""Checkpoints: each leaves row groups that are not full; to merge them is to write up to three whole ones."""
_SMALL_BYTES: Final = 8 * 2**10
"""Of a span: where they are larger row groups are merged as much less often, they hold enough without."""
_REFUSED: Final = "TransactionContext Error: Cannot CHECKPOINT"
"""Anything else that DuckDB says of a checkpoint is a failure."""
_LEAST_ROOM: Final = 16 * 2**20
"""Of the disk, beside twice what is not on it: a process does not survive every checkpoint that fails."""


class Store:
    """One open DuckDB file. Writes come from one thread; readers take a ``cursor`` each."""

    def __init__(self, path: Path) -> None:
        """Open or create the file and bring its tables and views up.

        Raises:
            StoreError: not a DuckDB file, not ours, or made by a newer tupletrace.
        """
        self._path, self._process = path, os.getpid()
        self._switching = threading.Lock()
        self._copying = threading.Lock()
        self._cursors: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()
        self._estimator = estimate.estimator()
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
        self._connection = reconnect(self._path, error, self._interrupt)
        self._opened()

    def _interrupt(self) -> None:
        for cursor in list(self._cursors):
            # It may have been closed.
            with suppress(duckdb.Error):
                cursor.interrupt()

    def _opened(self) -> None:
        self._priced: set[prices.Model] = set()
        self._unsaved, self._unsaved_spans, self._saved_at = 0, 0, time.monotonic()
        self._unmerged = 0.0
        known = self._connection.execute(
            "SELECT hash(trace_id) AS trace, first_seq FROM (SELECT trace_id, first_seq FROM settled_traces "
            "UNION ALL SELECT trace_id, first_seq FROM open_traces)"
        ).fetchnumpy()
        self._seen = SeenTraces(np.asarray(known["trace"]), np.asarray(known["first_seq"]))
        self._refresh_prices()
        self._settings_stamp = None
        self.take_settings()
        # What a process that was killed, or a migration, has left open.
        self._open, self._inserted_at = True, time.monotonic()
        self._settle()
        self._active = deque([(self._inserted_at, self.journal_seq)])

    @property
    def journal_seq(self) -> int:
        """The last journalled request that is indexed here."""
        ((seq,),) = self._rows("SELECT indexed_seq()")
        return int(seq)

    @property
    def waits(self) -> bool:
        """Whether something is left for ``settle`` to do, now or when enough time has passed."""
        return self._open or bool(self._active) or self._unsaved > 0

    def insert(self, batch: pa.Table, journal_seq: int, told: pa.Table = telling.NONE) -> None:
        """Store normalised spans and the journal position they reach, in one transaction.

        ``batch`` is in the order of its ``journal_seq``, which is above that of every batch before; ``told``
        are log records that tell of spans.

        Raises:
            StoreError: the disk has no room for it.
        """
        coming = batch.nbytes
        self._expect_room(coming)
        with transaction(self._connection) as connection:
            seen = self._insert(batch) if batch.num_rows else None
            telling_records, judging_records = telling.apart(told)
            if telling_records.num_rows or self._rows("SELECT 1 FROM log_records LIMIT 1"):
                with registered(connection, batch):
                    telling.join(connection, telling_records)
            judging.join(connection, batch, judging_records)
            connection.execute("UPDATE meta SET value = ? WHERE key = 'journal_seq'", [journal_seq])
        if seen:
            self._seen.add(*seen)
        self._open, self._inserted_at = True, time.monotonic()
        self._unsaved += coming
        self._unsaved_spans += batch.num_rows
        self._checkpoint()

    def _insert(self, batch: pa.Table) -> tuple[Hashes, int] | None:
        connection = self._connection
        with registered(connection, batch):
            hashed = connection.execute(
                "SELECT hash(trace_id) AS trace, hash(trace_id, span_id, start_unix_nano) AS span FROM batch"
            ).fetchnumpy()
            traces = np.unique(np.asarray(hashed["trace"]))
            since = self._seen.since(traces)
            if since is not None or len(np.unique(np.asarray(hashed["span"]))) < batch.num_rows:
                found = connection.execute(statement("statements/fresh_spans"), {"since": since})
                fresh = pa.array(found.fetchnumpy()["place"])
                batch = batch.take(fresh) if len(fresh) < batch.num_rows else batch
        if not batch.num_rows:
            return None
        with registered(connection, batch):
            self._run("insert_spans")
            self._run("open_traces", since=since)
        return traces, int(pc.min(batch.column("journal_seq")).as_py())

    def note_lost(self, lost: Sequence[tuple[int, int, str | None]]) -> None:
        """Remember requests that could not be read: first number, how many, and why."""
        if lost:
            with transaction(self._connection) as connection:
                connection.executemany(statement("statements/note_lost"), [list(one) for one in lost])

    def rewind(self, journal_seq: int) -> None:
        """Forget what the requests from this one on have brought; they are indexed next."""
        with transaction(self._connection):
            self._run("rewind", seq=journal_seq)
        self._opened()

    def take_settings(self) -> None:
        """Take over what users have set, if that is another than before.

        Raises:
            SettingsError: their file is damaged.
        """
        file = settings.settings_file(self._path)
        stamp = settings.stamp(file)
        if stamp in (None, self._settings_stamp):
            return
        self._settings_stamp = stamp
        with transaction(self._connection) as connection:
            for name, rows in settings.read(file).tables().items():
                connection.register("rows", rows)
                connection.execute(f"DELETE FROM {name}; INSERT INTO {name} FROM rows")
                connection.unregister("rows")

    def settle(self, quiet_ms: int) -> None:
        """Write the rollups of traces that received something; those quiet for ``quiet_ms`` are complete."""
        if self._settle():
            self._active.append((self._inserted_at, self.journal_seq))
        quiet_since = time.monotonic() - quiet_ms / 1000
        quiet_seq: int | None = None
        while self._active and self._active[0][0] <= quiet_since:
            _, quiet_seq = self._active.popleft()
        if quiet_seq is not None:
            with transaction(self._connection) as connection:
                connection.execute("DELETE FROM meta WHERE key = 'quiet_seq'")
                connection.execute("INSERT INTO meta VALUES ('quiet_seq', ?)", [quiet_seq])
        if self._unsaved:
            self._checkpoint()

    def _settle(self) -> bool:
        opened = self._open and bool(self._rows("SELECT 1 FROM open_traces LIMIT 1"))
        if opened:
            with transaction(self._connection):
                self._run("settle_calls")
                # The models that the calls which settle are the first to name.
                met = self._named("settling_calls") - self._priced
                self._add_prices(met)
                self._estimate()
                self._run("settle_traces")
            self._priced |= met
        self._open = False
        return opened

    def _estimate(self) -> None:
        if self._estimator:
            uncounted = self._connection.sql(statement("statements/uncounted")).to_arrow_table()
            if uncounted.num_rows:
                self._connection.register("estimates", self._estimator.estimated(uncounted))
                self._run("estimate")
                self._connection.unregister("estimates")

    def _checkpoint(self) -> None:
        """Bring what was committed to disk, after so many bytes or so long: until then the journal has it."""
        now = time.monotonic()
        due = self._unsaved >= _CHECKPOINT_BYTES or now >= self._saved_at + _CHECKPOINT_S
        due |= now >= self._inserted_at + _LULL_S and self._unsaved_spans >= _MANY
        # While the file is copied: later.
        if due and self._copying.acquire(blocking=False):
            try:
                if self._bring_to_disk():
                    self._unsaved, self._unsaved_spans, self._saved_at = 0, 0, time.monotonic()
            finally:
                self._copying.release()

    def _bring_to_disk(self) -> bool:
        """Bring what was committed to disk; False: later, somebody still reads what was changed since."""
        self._expect_room()
        merges = int(self._unmerged >= _MERGE_AFTER)
        try:
            self._connection.execute(f"SET GLOBAL max_vacuum_tasks = {merges}; CHECKPOINT")
        except duckdb.TransactionException as error:
            if not str(error).startswith(_REFUSED):
                raise
            return False
        spans = max(self._unsaved_spans, 1)
        self._unmerged = (
            0 if merges else self._unmerged + min(_SMALL_BYTES * spans / max(self._unsaved, 1), 1)
        )
        return True

    def _expect_room(self, coming: int = 0) -> None:
        needed = _LEAST_ROOM + 2 * (self._unsaved + coming)
        if (free := room(self._path)) < needed:
            raise StoreError(
                f"{self._path} can grow by {free >> 20} MiB, and {needed >> 20} are needed to index on: make "
                "room on its disk"
            )

    def hold(self) -> Path | None:
        """Bring what was committed to disk, with its rollups, and leave the file as it is until ``let_go``.

        None: not while somebody reads what was changed since. Only the thread that inserts may do so.
        """
        self._copying.acquire()
        held = False
        try:
            self._settle()
            held = self._bring_to_disk()
        finally:
            if not held:
                self._copying.release()
        return self._path if held else None

    def let_go(self) -> None:
        """Let the file change again."""
        self._copying.release()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of its own for one reader.

        Raises:
            StoreError: this is a fork of the process that opened it.
        """
        if os.getpid() != self._process:
            raise StoreError(
                f"{self._path} was opened by process {self._process}, of which this is a fork: "
                "open it after the fork"
            )
        with self._switching:
            cursor = self._connection.cursor()
            self._cursors.add(cursor)
            return use(cursor)

    @contextmanager
    def changing(self) -> Generator[duckdb.DuckDBPyConnection]:
        """Yield the connection that writes, in a transaction; only the thread that inserts may do so."""
        with transaction(self._connection) as connection:
            yield connection
        self._unsaved += 1
        self._open = True

    def save(self) -> bool:
        """Bring what was committed to disk now; False: not now, it is being copied or somebody is in it."""
        self._saved_at = -_CHECKPOINT_S
        self._checkpoint()
        return self._saved_at > 0

    def become(self, other: "Store") -> None:
        """Go on with the file of another store, which has everything that this one has, in its place.

        Whoever still reads the old file reads it to the end; then its room is given back.
        """
        other.save()
        with self._copying, self._switching:
            failpoint.passing("database.replacing")
            other._path.replace(self._path)
            failpoint.passing("database.replaced")
            # The old one is not closed: that would close the readers' cursors. It ends with the last of them.
            self._connection = other._connection
        self._opened()

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        failpoint.passing("database.closing")
        if os.getpid() != self._process:
            return
        with self._copying:
            self._connection.close()

    def _named(self, table: str) -> set[prices.Model]:
        return {
            prices.Model(*row)
            for row in self._rows(
                "SELECT DISTINCT provider_name, coalesce(response_model, request_model), service_tier "
                f"FROM {table} WHERE coalesce(response_model, request_model) IS NOT NULL"
            )
        }

    def _refresh_prices(self) -> None:
        """Look every model up again when another version of the prices is installed."""
        self._priced = {
            prices.Model(*row)
            for row in self._rows("SELECT DISTINCT provider_name, model, service_tier FROM price_book")
        }
        self._own, fingerprint = own_prices.read()
        used = int(hashlib.sha256(f"{prices.SOURCE} {fingerprint}".encode()).hexdigest()[:15], 16)
        if self._rows(f"SELECT 1 FROM meta WHERE key = 'prices' AND value = {used}"):
            return
        # A database of an older version may hold calls whose models it never looked up.
        self._priced |= self._named("spans")
        with transaction(self._connection) as connection:
            connection.execute("DELETE FROM price_book")
            self._add_prices(self._priced)
            self._run("recost")
            connection.execute("DELETE FROM meta WHERE key = 'prices'")
            connection.execute("INSERT INTO meta VALUES ('prices', ?)", [used])

    def _add_prices(self, models: set[prices.Model]) -> None:
        if models:
            self._connection.register("price_rows", prices.price_rows(sorted(models, key=str), self._own))
            self._connection.execute("INSERT INTO price_book BY NAME SELECT * FROM price_rows")
            self._connection.unregister("price_rows")

    def _run(self, name: str, **values: Any) -> None:
        """Execute each statement of a file, with those of the values that it names."""
        for one in statement(f"statements/{name}").split(";\n\n"):
            self._connection.execute(
                one, {key: said for key, said in values.items() if f"${key}" in one} or None
            )

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()
