"""One day of the journal: a SQLite file of requests, each with its own checksum; compressed when closed."""

import contextlib
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from tupletrace.processor import failpoint

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY,
    received_unix_nano INTEGER NOT NULL,
    signal TEXT NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER,
    uncompressed_size INTEGER
)"""
_COLUMNS: Final = {"seq", "received_unix_nano", "signal", "body"}
_LATER_COLUMNS: Final = ("checksum", "uncompressed_size")
"""Absent in files of the first release."""
_ZSTD: Final = pa.Codec("zstd", compression_level=3)
_STEP_BYTES: Final = 2**20
_WAIT_S: Final = 0.05
_LATEST_UNIX_NANO: Final = 2**63 - 1
WRITTEN: Final = 0
COMPRESSED: Final = 1
WITHOUT_CONTENT: Final = 2
"""What a file says it is, in its user_version; the last: nothing that came in it holds content any more."""
VERSIONS: Final = (WRITTEN, COMPRESSED, WITHOUT_CONTENT)
_rewriting: Final = threading.Lock()


class JournalError(RuntimeError):
    """The journal cannot be written (disk full, folder read-only, closed: not accepted) or not be read."""


@dataclass(frozen=True, slots=True)
class Request:
    """One journalled request: its sequence number, time of receipt, signal and protobuf body.

    ``damage`` says why it cannot be read; then it stands for ``count`` requests from ``seq`` on.
    """

    seq: int
    received_unix_nano: int
    signal: str
    body: bytes
    damage: str | None = None
    count: int = 1


Change = Callable[[list[Request]], Iterable[Request]]
"""Gives requests back as they are to be kept; without a body: nothing is left of one but its number."""


def row(request: Request) -> tuple[int, int, str, bytes, int, None]:
    """Return what ``insert`` stores for a new request."""
    return (
        request.seq,
        request.received_unix_nano,
        request.signal,
        request.body,
        _checksum(request.seq, request.signal, request.body),
        None,
    )


INSERT: Final = "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)"


def create(connection: sqlite3.Connection, version: int = WRITTEN, mode: str = "DELETE") -> None:
    """Make a file of this version that holds no request, or let one that is there be written."""
    connection.execute("PRAGMA page_size = 65536")
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute(_SCHEMA)


def open_for_writing(file: Path) -> sqlite3.Connection:
    """Open or create the file of the day: a commit is on disk when it returns."""
    connection = sqlite3.connect(file, check_same_thread=False)
    create(connection, mode="WAL")
    present = _columns(connection)
    for column in _LATER_COLUMNS:
        if column not in present:
            connection.execute(f"ALTER TABLE requests ADD COLUMN {column} INTEGER")
    file.chmod(0o600)
    return connection


@contextlib.contextmanager
def existing(file: Path) -> Generator[sqlite3.Connection]:
    """Open a file that is there.

    Raises:
        JournalError: it cannot be read as a journal.
    """
    try:
        # Not read-only: after a crash SQLite has to replay the write-ahead log first.
        with contextlib.closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)
        ) as connection:
            connection.text_factory = lambda text: text.decode(errors="replace")
            yield connection
    except sqlite3.Error as error:
        remedy = "" if isinstance(error, sqlite3.OperationalError) else "; moved away it holds nothing up"
        raise JournalError(f"{file} cannot be read as a journal: {error}{remedy}") from error


def identity(file: Path) -> tuple[int, ...]:
    """Return what tells a file, and its write-ahead log, from others of the same name."""
    names = (file, file.with_name(file.name + "-wal"))
    return tuple(name.stat().st_ino for name in names if name.exists())


def edge(file: Path, which: str) -> int | None:
    """Return the ``min`` or ``max`` sequence number in a file, None if it holds no request.

    Raises:
        JournalError: it cannot be read as a journal.
    """
    with existing(file) as connection:
        # A process that was killed right after it made the file has left it empty.
        return _edge(connection, which) if _columns(connection) else None


def _edge(connection: sqlite3.Connection, which: str) -> int | None:
    order, outward = ("ASC", -1) if which == "min" else ("DESC", 1)
    try:
        two = connection.execute(f"SELECT seq FROM requests ORDER BY seq {order} LIMIT 2").fetchall()
        if len(two) == 2 and two[0][0] - two[1][0] == outward:
            return two[0][0]
        # A number without a neighbour may be damage: it is believed of what can be read.
        for beyond, request in enumerate(_rows(connection, f"ORDER BY seq {order}")):
            if request.damage is None:
                return request.seq + outward * beyond
        return two[0][0] if two else None
    except sqlite3.DatabaseError as error:
        raise_unless_damaged(error)
    return _reached(connection, outward)


def _reached(connection: sqlite3.Connection, outward: int) -> int | None:
    """Return the last number that can be read on the way through a damaged file."""
    last: int | None = None
    try:
        for request in _rows(connection, f"ORDER BY seq {'ASC' if outward == 1 else 'DESC'}"):
            last = request.seq if request.damage is None else last
    except sqlite3.DatabaseError as error:
        raise_unless_damaged(error)
        if last is None:
            raise
    # The one before an error is not given by the cursor, but can be asked for.
    with contextlib.suppress(sqlite3.DatabaseError):
        while last is not None and any(_rows(connection, "WHERE seq = ?", last + outward)):
            last += outward
    return last


def raise_unless_damaged(error: sqlite3.DatabaseError) -> None:
    """Raise what may be otherwise another time: too many open files, a disk that is away."""
    if isinstance(error, sqlite3.OperationalError):
        raise error


def seq_at(file: Path, unix_nano: int) -> int | None:
    """Return the first request of a file that was received at a time or later, None if there is none."""
    with existing(file) as connection:
        if not _columns(connection):
            return None
        asked = "SELECT min(seq) FROM requests WHERE received_unix_nano >= ?"
        return connection.execute(asked, (unix_nano,)).fetchone()[0]


def requests(file: Path, after: int) -> Iterator[Request]:
    """Yield the requests after a sequence number in order, those that cannot be read with their damage.

    Where damage stands in the way, or has put something elsewhere, the others are asked for one by one.
    """
    with existing(file) as connection:
        first, end = _edge(connection, "min"), _edge(connection, "max")
        if first is None or end is None:
            return
        last = max(after, first - 1)
        try:
            for request in _rows(connection, "WHERE seq > ? ORDER BY seq", last):
                # What is damaged is asked for again: its number may be damage, too.
                if request.damage is not None or request.seq <= last:
                    continue
                if request.seq > last + 1:
                    yield from _one_by_one(connection, last + 1, request.seq)
                yield request
                last = request.seq
        except sqlite3.DatabaseError as error:
            raise_unless_damaged(error)
        yield from _one_by_one(connection, last + 1, end + 1)


def _one_by_one(connection: sqlite3.Connection, first: int, end: int) -> Iterator[Request]:
    for seq in range(first, end):
        try:
            yield from _rows(connection, "WHERE seq = ?", seq)
        except sqlite3.DatabaseError as error:
            raise_unless_damaged(error)
            yield Request(seq, 0, "", b"", str(error))


def _rows(connection: sqlite3.Connection, which: str, *values: int) -> Iterator[Request]:
    columns = _columns(connection)
    later = ", ".join(name if name in columns else "NULL" for name in _LATER_COLUMNS)
    asked = f"SELECT seq, received_unix_nano, signal, body, {later} FROM requests {which}"
    return (_checked(*found) for found in connection.execute(asked, values))


def stepwise(found: Iterable[Request], most_bytes: int) -> Generator[list[Request]]:
    """Yield requests in order, as many at a time as have about ``most_bytes``."""
    step: list[Request] = []
    size = 0
    for request in found:
        step.append(request)
        size += len(request.body)
        if size >= most_bytes:
            yield step
            step, size = [], 0
    if step:
        yield step


def _columns(connection: sqlite3.Connection) -> set[str]:
    found = {one[1] for one in connection.execute("PRAGMA table_info(requests)")}
    if found and not found >= _COLUMNS:
        raise sqlite3.DatabaseError("its table of requests is none of ours")
    return found


def _checked(seq: int, received: Any, signal: Any, body: Any, checksum: Any, size: Any) -> Request:
    received = received if isinstance(received, int) else 0
    try:
        if size is not None:
            body = _ZSTD.decompress(body, size, asbytes=True)
        if not isinstance(body, bytes) or not isinstance(signal, str):
            return Request(seq, received, "", b"", "it has no body")
        if checksum is not None and checksum != _checksum(seq, signal, body):
            return Request(seq, received, "", b"", "its checksum is another")
    # A size that is damage may be negative, or more than there is memory.
    except (OSError, ValueError, TypeError, SystemError, MemoryError) as error:
        return Request(seq, received, "", b"", str(error) or "it cannot be unpacked")
    return Request(seq, received, signal, body)


def _checksum(seq: int, signal: str, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(f"{seq} {signal}".encode()))


def compress(file: Path) -> None:
    """Rewrite the file of a day that is over: bodies in zstd; what is damaged stays as it is."""
    with _rewriting:
        # Whoever was waited for may have compressed it, or taken it away.
        if file.exists() and state(file).version == WRITTEN:
            for _ in _rewritten(file, COMPRESSED, lambda requests: requests):
                pass


def rewriting(file: Path, version: int, change: Change) -> Iterator[None]:
    """Write a closed file anew as ``change`` gives its requests back, and swap the two; yields between steps.

    Whoever reads the old one still does. Nothing is changed by an iterator that does not reach its end.
    """
    while not _rewriting.acquire(timeout=_WAIT_S):
        yield
    try:
        yield from _rewritten(file, version, change)
    finally:
        _rewriting.release()


class State(NamedTuple):
    """What a file holds: its version, first and last request, when the last came, whether all are empty."""

    version: int
    first: int
    last: int
    last_unix_nano: int
    empty: bool


def state(file: Path) -> State:
    """Return what a file holds; the numbers of one without requests are 0.

    Raises:
        JournalError: it cannot be read as a journal.
    """
    with existing(file) as connection:
        if not _columns(connection):
            return State(COMPRESSED, 0, 0, 0, empty=True)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        first, last = _edge(connection, "min"), _edge(connection, "max")
        if first is None or last is None:
            return State(version, 0, 0, 0, empty=True)
        # One that cannot be read may have come just now.
        asked = "SELECT max(received_unix_nano) FROM requests WHERE seq = ?"
        (came,) = connection.execute(asked, (last,)).fetchone()
        came = came if isinstance(came, int) else _LATEST_UNIX_NANO
        filled = connection.execute("SELECT 1 FROM requests WHERE length(body) > 0 LIMIT 1").fetchone()
        return State(version, first, last, came, empty=filled is None)


def _rewritten(file: Path, version: int, change: Change) -> Iterator[None]:
    with existing(file) as connection:
        # Then nothing of it is in a write-ahead log; refused while somebody reads it.
        connection.execute("PRAGMA journal_mode = DELETE")
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(new, check_same_thread=False)) as target:
            new.chmod(0o600)
            create(target, version)
            for step in stepwise(requests(file, -1), _STEP_BYTES):
                target.executemany(INSERT, map(_packed, change(step)))
                yield
            target.commit()
        with new.open("rb") as written:
            os.fsync(written.fileno())
        failpoint.passing("journal.compressed")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _packed(request: Request) -> tuple[Any, ...]:
    if request.damage is not None:
        # Kept to be counted again: its checksum is none that any body has.
        return (request.seq, request.received_unix_nano, "", b"", -1, None)
    packed = _ZSTD.compress(request.body, asbytes=True)
    if len(packed) >= len(request.body):
        return row(request)
    return (*row(request)[:3], packed, *row(request)[4:5], len(request.body))
