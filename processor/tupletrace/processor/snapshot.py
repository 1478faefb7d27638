"""A snapshot: a database as it is at one moment, in a DuckDB file of its own, and the way back."""

import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from tupletrace.processor import ask, database, failpoint, index, journal, retention
from tupletrace.processor.ask import Processor
from tupletrace.processor.database import first_line, quoted
from tupletrace.processor.dropping import Place
from tupletrace.processor.forget import ATTRIBUTES, KINDS, Forgotten, forgotten
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.lock import DatabaseInUse, DatabaseLock
from tupletrace.processor.rebuild import Progress, follow
from tupletrace.processor.schema import StoreError, statement
from tupletrace.processor.store import Store

_COPY: Final = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"
_PIECE: Final = 2**20
_WITHIN_S: Final = 3600.0
"""A processor that copies a database of a terabyte says nothing for so long."""
_TAKEN: Final = "snapshot_unix_nano"
_LAST: Final = "snapshot_request_unix_nano"
"""Keys in ``meta`` of a snapshot: when it was taken; when its last request came, which tells its journal."""
_UNMARK: Final = f"DELETE FROM meta WHERE key IN ('{_TAKEN}', '{_LAST}')"


class _Taken(NamedTuple):
    """What a snapshot says of itself."""

    unix_nano: int
    journal_seq: int
    received_unix_nano: int
    """Of the request ``journal_seq``; 0 if no journal held it."""


def save(source: Path | Processor, file: Path, progress: Progress) -> None:
    """Make ``file`` a snapshot of a database, whether a processor is running on it or not.

    Raises:
        StoreError, JournalError, OSError: it cannot be made; what was at ``file`` is still there.
    """
    if source == file:
        raise StoreError(f"{file} is the database itself: name another file")
    with _beside(file, ".partial") as making, still(source, making, progress) as found:
        if found != making:
            shutil.copyfile(found, making)
            _mark(making, journal_folder(found), time.time_ns())


@contextmanager
def _beside(file: Path, suffix: str) -> Generator[Path]:
    """Yield where to make what then takes the place of ``file``, once all of it is on disk."""
    making = file.with_name(file.name + suffix)
    database.remove(making)
    try:
        yield making
        keep(making, file)
    finally:
        database.remove(making)


def keep(temporary: Path, file: Path) -> None:
    """Give a file its name once all of it is on disk."""
    temporary.chmod(0o600)
    _to_disk(temporary)
    temporary.replace(file)
    _to_disk(file.parent)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def still(source: Path | Processor, scratch: Path, progress: Progress) -> Generator[Path]:
    """Yield a DuckDB file that nobody changes: the database itself, or ``scratch``, made a snapshot of it.

    Raises:
        StoreError, JournalError, OSError: there is no such database, or it cannot be read.
    """
    if isinstance(source, Processor):
        _fetch(source, scratch, progress)
        yield scratch
        return
    ask.expect(source)
    try:
        lock = DatabaseLock(source)
    except DatabaseInUse as error:
        _fetch(Processor.of(error), scratch, progress)
        yield scratch
        return
    with lock:
        with closing(Store(source)) as store:
            follow(journal_folder(source), store, progress)
        yield source


def _fetch(processor: Processor, target: Path, progress: Progress) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with (
        os.fdopen(descriptor, "wb") as writing,
        processor.post("/admin/snapshot", timeout=_WITHIN_S) as response,
    ):
        size, done = int(response.headers.get("Content-Length", 0)), 0
        try:
            while piece := response.read(_PIECE):
                writing.write(piece)
                done += len(piece)
                progress(done, max(size, done))
        except http.client.HTTPException as error:
            raise StoreError(
                f"{processor.url} sent {done} bytes, not all of the snapshot: {error!r}"
            ) from None
    if done < size:
        raise StoreError(f"{processor.url} sent {done} of {size} bytes: the snapshot is not whole")


def take(store: Store, folder: Path, target: Path, hold: Callable[[], Path]) -> None:
    """Write what the store has committed to a new file, while others read; ``folder``: its journal.

    ``hold`` calls that of the store, where that may be done; others may write once it has returned.

    Raises:
        StoreError, OSError: it cannot be written.
    """
    database.remove(target)
    file, now = hold(), time.time_ns()
    failpoint.passing("snapshot.held")
    try:
        # In a process of its own: to close the file here would give up the lock that DuckDB has on it.
        command = [sys.executable, "-I", "-S", "-c", _COPY, file, target]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no text of others
    finally:
        store.let_go()
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2] or f"the copy ended with {done.returncode}"
        raise StoreError(f"{file} cannot be copied: {why}")
    failpoint.passing("snapshot.copied")
    _mark(target, folder, now)


def _mark(file: Path, folder: Path, unix_nano: int) -> None:
    """Write into a copy of what moment it is, and up to which request of which journal."""
    with duckdb.connect(str(file)) as made:
        ((seq,),) = made.execute("SELECT indexed_seq()").fetchall()
        made.execute(_UNMARK)
        marks = [_TAKEN, unix_nano, _LAST, _received(folder, seq) or 0]
        made.execute("INSERT INTO meta VALUES (?, ?), (?, ?)", marks)


class Restored(NamedTuple):
    """Where the database of before is kept, if there was one; up to which request no journal has them."""

    kept: Path | None
    unjournalled: int


def restore(path: Path, file: Path, progress: Progress, *, incomplete: bool = False) -> Restored:
    """Make a snapshot the database at ``path``.

    Whoever owns the database calls this. The journal goes on where the snapshot ends, and what was forgotten
    or dropped since it was taken does not come back. ``incomplete``: although requests are in neither.

    Raises:
        StoreError: it is no snapshot, or not one that the journal goes on from; nothing is changed.
    """
    folder = journal_folder(path)
    taken = _read(file)
    missing = _missing(taken, file, folder)
    if missing and not incomplete:
        raise StoreError(
            f"{file} ends at request {taken.journal_seq}, the journal at {folder} begins {missing} requests "
            "later: they are in neither; --incomplete goes on without them"
        )
    taken_at = datetime.fromtimestamp(taken.unix_nano / 1e9, UTC)
    with database.reading(path), _beside(path, ".restoring") as making:
        if since := [one for one in forgotten(folder) if one.time >= taken_at]:
            _without(file, making, since)
        else:
            shutil.copyfile(file, making)
        with duckdb.connect(str(making)) as made:
            made.execute(_UNMARK)
        with closing(Store(making)) as store:
            if missing:
                why = f"it is neither in {file.name} nor in the journal"
                store.note_lost([(taken.journal_seq + 1, missing, why)])
            follow(folder, store, progress)
            index.finished(retention.again(Place(making, store), folder, taken_at))
        kept = database.set_aside(path, "replaced") if path.exists() else None
    return Restored(kept, (journal.first_seq(folder) or taken.journal_seq + 1) - 1)


def forget(file: Path, kind: str, value: str) -> int:
    """Take every trace of a user, a conversation or an id out of a snapshot; return how many those were.

    Raises:
        StoreError: it is no snapshot; nothing is changed.
    """
    _read(file)
    named = Forgotten(datetime.now(UTC), kind, hashlib.sha256(value.encode()).hexdigest())
    with _beside(file, ".forgetting") as making:
        return _without(file, making, [named])


def _read(file: Path) -> _Taken:
    try:
        with duckdb.connect(str(file), read_only=True) as asked:
            said = dict(asked.execute("SELECT key, value FROM meta").fetchall())
            return _Taken(said[_TAKEN], said["journal_seq"], said[_LAST])
    except KeyError:
        raise StoreError(f"{file} is no snapshot: `tupletrace snapshot` makes one") from None
    except duckdb.Error as error:
        raise StoreError(f"{file} is no snapshot: {first_line(error)}") from None


def _missing(taken: _Taken, file: Path, folder: Path) -> int:
    """Return how many requests are between the end of a snapshot and the beginning of a journal."""
    first = journal.first_seq(folder)
    if first is None:
        return 0
    if first <= taken.journal_seq and _received(folder, taken.journal_seq) != taken.received_unix_nano:
        raise StoreError(
            f"{file} does not belong to the journal at {folder}, which would not be indexed whole: "
            f"`tupletrace import {file}` adds what the one holds to the other"
        )
    return max(first - taken.journal_seq - 1, 0)


def _received(folder: Path, seq: int) -> int | None:
    """Return when a request came, None if the journal does not have it."""
    found = next(journal.read(folder, seq - 1, 1), [None])[0]
    return found.received_unix_nano if found and found.seq == seq else None


def _without(file: Path, target: Path, named: Iterable[Forgotten]) -> int:
    """Copy a database without what is forgotten, since what is deleted stays in a file; return the traces."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH {quoted(file)} AS whole (READ_ONLY)")
        connection.execute(f"ATTACH {quoted(target)} AS kept (STORAGE_VERSION 'v1.5.0')")
        connection.execute("COPY FROM DATABASE whole TO kept (SCHEMA)")
        count = find_gone(connection, "whole.spans", named)
        for table, columns in connection.execute(statement("statements/tables_of_whole")).fetchall():
            connection.execute(f"INSERT INTO kept.{table} FROM whole.{table} WHERE {staying(columns)}")
    return count


def find_gone(
    connection: duckdb.DuckDBPyConnection, spans: str, named: Iterable[Forgotten], *, earlier: bool = False
) -> int:
    """Make the tables ``gone`` (traces) and ``named`` of what was forgotten; return how many traces.

    ``earlier``: only of spans that began before that.
    """
    connection.execute("CREATE TABLE named (kind VARCHAR, sha256 VARCHAR, unix_nano BIGINT)")
    for one in named:
        moment = int(one.time.timestamp() * 1e6) * 1_000
        connection.execute("INSERT INTO named VALUES (?, ?, ?)", [one.kind, one.sha256, moment])
    of_kinds = " UNION ".join(
        f"SELECT trace_id FROM {spans} AS spans JOIN named "
        f"ON named.kind = '{kind}' AND named.sha256 = sha256(spans.{column})"
        + (" AND spans.start_unix_nano < named.unix_nano" if earlier else "")
        for kind, column in KINDS.items()
    )
    connection.execute(f"CREATE TABLE gone AS {of_kinds}")
    # What is said of a conversation of which no trace is left goes with it.
    connection.execute(
        f"INSERT INTO named SELECT 'conversation', sha256(conversation_id), 0 FROM {spans} AS spans "
        "WHERE conversation_id IS NOT NULL GROUP BY ALL HAVING bool_and(trace_id IN (FROM gone))"
    )
    return connection.execute("SELECT count(*) FROM gone").fetchall()[0][0]


def staying(columns: Iterable[str]) -> str:
    """Return the condition that a row of a table with these columns is not of what is gone."""
    gone = ["trace_id IN (FROM gone)"] if "trace_id" in columns else []
    for kind, column in KINDS.items():
        # Log records, which are no spans, say it among their attributes.
        said = [column] if column in columns else [f"attributes[{key!r}]" for key in ATTRIBUTES[kind]]
        if column in columns or "attributes" in columns:
            of_kind = f"IN (SELECT sha256 FROM named WHERE kind = '{kind}')"
            gone += [f"sha256({one}) {of_kind}" for one in said]
    return f"({' OR '.join(gone) or 'FALSE'}) IS NOT TRUE"
