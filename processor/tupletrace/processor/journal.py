"""The journal: every acknowledged request as it was received, in SQLite, one file a day. It is the truth.

A request is acknowledged after the transaction that holds it is on disk; the DuckDB file is made from it.
"""

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY,
    received_unix_nano INTEGER NOT NULL,
    signal TEXT NOT NULL,
    body BLOB NOT NULL
)"""
_CLOSED: Final = "the journal is closed"


@dataclass(frozen=True, slots=True)
class Request:
    """One journalled request: its sequence number, time of receipt, signal and protobuf body."""

    seq: int
    received_unix_nano: int
    signal: str
    body: bytes


@dataclass(frozen=True, slots=True)
class _Append:
    signal: str
    body: bytes
    done: Future[int]


class JournalError(RuntimeError):
    """The journal cannot be written (disk full, folder read-only, closed: not accepted) or not be read."""


class Journal:
    """Appends from any thread; one writer puts all that wait into one transaction."""

    def __init__(self, folder: Path, after: int = 0) -> None:
        """Open the journal in ``folder`` (made if it is not there); sequence numbers begin after ``after``.

        Raises:
            OSError, sqlite3.Error: the folder or a file in it cannot be written.
            JournalError: a file in it is no journal.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        # Whoever deletes the journal has a database that is ahead of it and would take new numbers for old.
        self._seq = max(last_seq(folder), after)
        self._file = self._today()
        self._connection = self._open(self._file)
        self._waiting: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="tupletrace-journal", daemon=True)
        self._writer.start()

    def append(self, signal: str, body: bytes) -> "Future[int]":
        """Queue one request; the future gives its sequence number once it is on disk, or ``JournalError``."""
        request = _Append(signal, body, Future())
        # Nobody who waits can cancel it: that would end the writer.
        request.done.set_running_or_notify_cancel()
        with self._closing:
            if self._closed:
                request.done.set_exception(JournalError(_CLOSED))
            else:
                self._waiting.put(request)
        return request.done

    def close(self) -> None:
        """Write what waits, then close."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(None)
        self._writer.join()
        self._connection.close()

    def _write(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, closing = [first], False
            with contextlib.suppress(queue.Empty):
                while True:
                    following = self._waiting.get_nowait()
                    if following is None:
                        closing = True
                        break
                    batch.append(following)
            self._commit(batch)
            if closing:
                return

    def _commit(self, batch: list[_Append]) -> None:
        try:
            if self._file != (today := self._today()):
                self._connection.close()
                self._file, self._connection = today, self._open(today)
            now = time.time_ns()
            rows = [(self._seq + i, now, one.signal, one.body) for i, one in enumerate(batch, 1)]
            with self._connection:
                self._connection.executemany("INSERT INTO requests VALUES (?, ?, ?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            for one in batch:
                one.done.set_exception(JournalError(f"the journal cannot be written: {error}"))
            return
        for i, one in enumerate(batch, 1):
            one.done.set_result(self._seq + i)
        self._seq += len(batch)

    def _today(self) -> Path:
        # A clock that jumps back must not put later sequence numbers into an earlier file.
        today = self._folder / f"{datetime.now(UTC):%Y-%m-%d}.sqlite"
        return max([today, *self._folder.glob("*.sqlite")])

    @staticmethod
    def _open(file: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(file, check_same_thread=False)
        connection.execute("PRAGMA page_size = 65536")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(_SCHEMA)
        file.chmod(0o600)
        return connection


def journal_folder(database: Path) -> Path:
    """Return the folder of the journal that belongs to a DuckDB file."""
    return database.with_name(database.name + ".journal")


def first_seq(folder: Path) -> int | None:
    """Return the lowest sequence number in the journal, None if it holds no request."""
    for file in sorted(folder.glob("*.sqlite")):
        with _existing(file) as connection:
            (lowest,) = connection.execute("SELECT min(seq) FROM requests").fetchone()
            if lowest is not None:
                return int(lowest)
    return None


def last_seq(folder: Path) -> int:
    """Return the highest sequence number in the journal, 0 for an empty one."""
    for file in sorted(folder.glob("*.sqlite"), reverse=True):
        with _existing(file) as connection:
            (highest,) = connection.execute("SELECT max(seq) FROM requests").fetchone()
            if highest is not None:
                return int(highest)
    return 0


def read(folder: Path, after: int, max_bytes: int) -> Iterator[list[Request]]:
    """Yield the requests after a sequence number, in order, in batches of about ``max_bytes``."""
    for file in sorted(folder.glob("*.sqlite")):
        with _existing(file) as connection:
            batch: list[Request] = []
            size = 0
            for row in connection.execute("SELECT * FROM requests WHERE seq > ? ORDER BY seq", (after,)):
                batch.append(Request(*row))
                size += len(batch[-1].body)
                if size >= max_bytes:
                    yield batch
                    batch, size = [], 0
            if batch:
                yield batch


@contextlib.contextmanager
def _existing(file: Path) -> Generator[sqlite3.Connection]:
    try:
        # Not read-only: after a crash SQLite has to replay the write-ahead log first.
        with contextlib.closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise JournalError(f"{file} cannot be read as a journal: {error}") from None
