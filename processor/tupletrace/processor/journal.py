"""The journal: every acknowledged request as it was received, in SQLite, one file a day. It is the truth.

A request is acknowledged after the transaction that holds it is on disk; the DuckDB file is made from it.
"""

import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tupletrace.processor import failpoint, journal_file, journal_head, journal_log
from tupletrace.processor.journal_file import JournalError, Request

_logger: Final = logging.getLogger(__name__)
_CLOSED: Final = "the journal is closed (or this is a fork of the process that writes it)"
_DAY_NS: Final = 86_400 * 10**9
_OF_DAY: Final = "%Y-%m-%d"
_OF_MOMENT: Final = "%Y-%m-%dT%H%M%S.%f"
_ROLL: Final = "roll"
"""Signal of no request: the next file is to be begun."""


@dataclass(frozen=True, slots=True)
class _Append:
    signal: str
    body: bytes
    done: Future[int]


class Journal:
    """Appends from any thread; one writer puts all that wait into one transaction."""

    def __init__(self, folder: Path, after: int = 0) -> None:
        """Open the journal in ``folder`` (made if it is not there); sequence numbers begin after ``after``.

        Raises:
            OSError, sqlite3.Error: the folder or a file in it cannot be written.
            JournalError: a file in it is no journal.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._process = folder, os.getpid()
        # Whoever deletes the journal has a database that is ahead of it and would take new numbers for old.
        self._seq = max(last_seq(folder), after)
        now = time.time_ns()
        self._day = now // _DAY_NS
        self._file = self._named(now, _OF_DAY)
        try:
            self._connection = journal_file.open_for_writing(self._file)
        except sqlite3.DatabaseError as error:
            journal_file.raise_unless_damaged(error)
            self._file = self._named(now, _OF_MOMENT)
            self._connection = journal_file.open_for_writing(self._file)
        self._identity = journal_file.identity(self._file)
        self._waiting: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._compress_closed()
        self._writer = threading.Thread(target=self._write, name="tupletrace-journal", daemon=True)
        self._writer.start()

    @property
    def file(self) -> Path:
        """The file that is written to; all before it are closed."""
        return self._file

    def roll(self) -> None:
        """Begin another file, so that the one that was written to can be rewritten.

        Raises:
            JournalError: it cannot be written, or the journal is closed.
        """
        self.append(_ROLL, b"").result()

    def append(self, signal: str, body: bytes) -> "Future[int]":
        """Queue one request; the future gives its sequence number once it is on disk, or ``JournalError``."""
        request = _Append(signal, body, Future())
        # Nobody who waits can cancel it: that would end the writer.
        request.done.set_running_or_notify_cancel()
        with self._closing:
            if self._closed or os.getpid() != self._process:
                request.done.set_exception(JournalError(_CLOSED))
            else:
                self._waiting.put(request)
        return request.done

    def close(self) -> None:
        """Write what waits, then close."""
        with self._closing:
            if self._closed or os.getpid() != self._process:
                return
            self._closed = True
            self._waiting.put(None)
        self._writer.join()
        self._compressor.join()
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
        appended = [one for one in batch if one.signal != _ROLL]
        try:
            now = time.time_ns()
            rolled = len(appended) < len(batch)
            if rolled or now // _DAY_NS != self._day:
                self._begin(now, _OF_MOMENT if rolled else _OF_DAY)
            elif journal_file.identity(self._file) != self._identity:
                _logger.warning("%s was taken away or replaced, the journal goes on in another", self._file)
                self._begin(now, _OF_MOMENT)
            rows = [
                journal_file.row(Request(self._seq + i, now, one.signal, one.body))
                for i, one in enumerate(appended, 1)
            ]
            try:
                self._insert(rows)
            except sqlite3.DatabaseError as error:
                journal_file.raise_unless_damaged(error)
                _logger.warning("%s is damaged, the journal goes on in another file: %s", self._file, error)
                self._begin(now, _OF_MOMENT)
                self._insert(rows)
        except (sqlite3.Error, OSError) as error:
            for one in batch:
                one.done.set_exception(JournalError(f"the journal cannot be written: {error}"))
            return
        for i, one in enumerate(appended, 1):
            one.done.set_result(self._seq + i)
        self._seq += len(appended)
        for one in batch:
            if one.signal == _ROLL:
                one.done.set_result(self._seq)

    def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        failpoint.passing("journal.begun")
        with self._connection:
            self._connection.executemany(journal_file.INSERT, rows)
            failpoint.passing("journal.written")
        failpoint.passing("journal.committed")

    def _begin(self, now: int, form: str) -> None:
        over = now // _DAY_NS != self._day
        file = self._named(now, form)
        if file != self._file:
            # First the new one: if there is no room for it the old one goes on.
            connection = journal_file.open_for_writing(file)
            self._connection.close()
            self._file, self._connection = file, connection
            self._identity = journal_file.identity(file)
        self._day = now // _DAY_NS
        if over:
            self._compress_closed()

    def _named(self, now: int, form: str) -> Path:
        """Return the file for what comes now, by the clock, and never before one with lower numbers."""
        named = self._folder / f"{datetime.fromtimestamp(now / 1e9, UTC):{form}}.sqlite"
        latest = max(files(self._folder), default=named)
        if named >= latest:
            return named
        if form == _OF_DAY and named.name[:10] == latest.name[:10]:
            return latest
        # The clock has jumped back.
        return self._folder / f"{latest.name[:10]}~{self._seq + 1:020}.sqlite"

    def _compress_closed(self) -> None:
        closed = [file for file in files(self._folder) if file < self._file]
        self._compressor = threading.Thread(
            target=self._compress, args=(closed,), name="tupletrace-journal-compress", daemon=True
        )
        self._compressor.start()

    def _compress(self, closed: list[Path]) -> None:
        for file in closed:
            if self._closed:
                return
            try:
                journal_file.compress(file)
            except (OSError, sqlite3.Error, JournalError) as error:
                _logger.warning("%s stays as it is, uncompressed, until the next start: %s", file, error)


def journal_folder(database: Path) -> Path:
    """Return the folder of the journal that belongs to a DuckDB file."""
    return database.with_name(database.name + ".journal")


def files(folder: Path) -> list[Path]:
    """Return the files of the journal, one a day or a part of it, the first first."""
    return sorted(folder.glob("*.sqlite"))


def mend(folder: Path) -> None:
    """Mend what a process that was killed has left; called before anything is read, by who alone has it."""
    for file in files(folder):
        journal_log.mend(file)
        journal_head.mend(file)


def first_seq(folder: Path) -> int | None:
    """Return the lowest sequence number in the journal, None if it holds no request."""
    lowest = (_edge(file, "min") for file in files(folder))
    return next((seq for seq in lowest if seq is not None), None)


def last_seq(folder: Path) -> int:
    """Return the highest sequence number in the journal, 0 for an empty one."""
    highest = (_edge(file, "max") for file in reversed(files(folder)))
    return next((seq for seq in highest if seq is not None), 0)


def seq_at(folder: Path, unix_nano: int) -> int | None:
    """Return the first request that was received at a time or later, None if there is none."""
    found = (journal_file.seq_at(file, unix_nano) for file in files(folder))
    return next((seq for seq in found if seq is not None), None)


def read(folder: Path, after: int, max_bytes: int) -> Generator[list[Request]]:
    """Yield the requests after a sequence number, in order, in batches of about ``max_bytes``.

    Numbers follow one another: what is missing between two is there as one damaged request.
    """
    return journal_file.stepwise(_gapless(folder, after), max_bytes)


def _gapless(folder: Path, after: int) -> Iterator[Request]:
    # Before the first there is what retention has taken away.
    last: int | None = None
    found = files(folder)
    for file in found:
        if (highest := _edge(file, "max")) is None or highest <= after:
            # One that cannot be read, or is empty, and is not the last, has held what is missing after it.
            last = (last or after if file != found[-1] else last) if highest is None else highest
            continue
        if last is None and (_edge(file, "min") or after + 1) <= after:
            last = after
        for request in journal_file.requests(file, after):
            expected = request.seq if last is None else max(last, after) + 1
            if request.seq > expected:
                missing = request.seq - expected
                yield Request(expected, 0, "", b"", "it is not in the journal", missing)
            last = request.seq
            yield request


def _edge(file: Path, which: str) -> int | None:
    try:
        return journal_file.edge(file, which)
    except JournalError as error:
        # What cannot be opened or read now may be another time: too many open files, a disk that is away.
        if isinstance(error.__cause__, sqlite3.OperationalError):
            raise
        _logger.warning("%s: what it held is counted as lost", error)
        return None
