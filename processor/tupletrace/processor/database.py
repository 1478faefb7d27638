"""The DuckDB file: opened, checked that it is ours, and brought up to this version's tables and views."""

import ctypes
import errno
import logging
import os
import re
import resource
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Final
from weakref import WeakSet

import duckdb

from tupletrace.processor import journal
from tupletrace.processor.schema import StoreError, Unusable, checked_version, create

_logger: Final = logging.getLogger(__name__)
_NAME: Final = "tupletrace"
_ATTACHED: Final = "Unique file handle conflict"
"""What DuckDB says of a file that this process has open already."""
_LOCKED: Final = "lock on file"
"""And of one that another program has open; then, mostly, which."""
_HOLDER: Final = re.compile(r"held in (.+?) \(PID (\d+)\)")
_POLL_S: Final = 0.05
_MEMORY_SHARE: Final = 0.5
"""Of the machine's (or the cgroup's) memory; the rest: Arrow batches, the journal, the kernel's cache."""
_MOST_MEMORY: Final = 512 * 2**20
"""DuckDB keeps what it read and wrote of the file while there is room: without a limit it grows with it."""
_ROW_GROUP: Final = 16_384
"""Rows. A batch that fills one is on disk, compressed by every core, when it commits; of DuckDB's 122,880 it
would wait for others, uncompressed, and a checkpoint compress it on one core."""

_NOT_ITS_CONTENT: Final = tuple(
    os.strerror(number)
    for number in (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EISDIR,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EIO,
    )
)
"""What the system says when a file cannot be opened whatever is in it."""


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Open or create the file and bring its tables and views up.

    A file beside which our journal lies, and which is damaged, newer, half migrated or none of ours, is put
    aside under another name, never deleted: the journal makes it again.

    Raises:
        StoreError: another process has it, it cannot be read, or it is unusable and there is no journal.
    """
    try:
        return _open(path)
    except Unusable as error:
        unusable = error
    # The log alone: what the file itself holds is whole, and says up to which request.
    if "WAL file" in str(unusable):
        _put_aside(path, unusable, _log(path))
        try:
            return _open(path)
        except Unusable as error:
            unusable = error
    _put_aside(path, unusable, path, _log(path))
    return _open(path)


def reconnect(path: Path, error: Exception, interrupt: Callable[[], None]) -> duckdb.DuckDBPyConnection:
    """Open the file again after an error that ended the connection, or that says that the file is damaged.

    The connection is closed already; this waits for the readers that still have a cursor of it, and lets
    ``interrupt`` end what they ask.
    """
    while _is_open_here(path):
        interrupt()
        time.sleep(_POLL_S)
    if _says_damaged(error):
        _put_aside(path, Unusable(f"{path} is damaged: {first_line(error)}"), path, _log(path))
    return connect(path)


def _is_open_here(path: Path) -> bool:
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error as error:
        return _ATTACHED in str(error)
    return False


def needs_reconnect(error: Exception) -> bool:
    """Say whether nothing more can be done on the connection that gave this error.

    DuckDB says first of what kind it is; what follows may be the words of whoever asked.
    """
    said = str(error)
    gone = "has been invalidated" in said and said.startswith(("TransactionContext ", "IO Error: Database"))
    return gone or said.startswith(("FATAL Error", "INTERNAL Error")) or _says_damaged(error)


def _says_damaged(error: Exception) -> bool:
    said = str(error)
    damaged = "Corrupt database file" in said or "Could not read enough bytes from file" in said
    # Of a block that it reads ahead it says no kind.
    return damaged and said.startswith(("IO Error", "Corrupt database file"))


def room(path: Path) -> int:
    """Return how many bytes a file can still grow: what its disk has free, or the limit on a file's size."""
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return free if limit == resource.RLIM_INFINITY else min(free, max(limit - path.stat().st_size, 0))


def first_line(error: Exception) -> str:
    """Return what DuckDB says without what it adds on further lines."""
    return str(error).partition("\n")[0]


def _log(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _put_aside(path: Path, unusable: Unusable, *damaged: Path) -> None:
    first = journal.first_seq(journal.journal_folder(path))
    if first is None:
        raise StoreError(f"{unusable}; there is no journal beside it to make it again: name another --db")
    kept = set_aside(path, "quarantined", *damaged)
    missing = f"; the journal begins at request {first}, what was before is only there" if first > 1 else ""
    _logger.warning("%s: kept as %s, and made again from the journal%s", unusable, kept, missing)


def set_aside(path: Path, why: str, *which: Path) -> Path:
    """Rename a database (or only these files of it) and return the new name; nothing is deleted."""
    kept = aside(path, why)
    for file in which or (path, _log(path)):
        if file.exists():
            file.rename(file.with_name(file.name.replace(path.name, kept.name, 1)))
    return kept


def aside(path: Path, why: str) -> Path:
    """Return a name under which a database may be kept beside the one that takes its place."""
    return path.with_name(f"{path.name}.{why}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")


def remove(path: Path) -> None:
    """Delete a database that was only being made, its log, its temporary files and its copies."""
    for left in (path, *path.parent.glob(f"{path.name}.*")):
        rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    """Delete the rows that a process which was killed had put on disk while it sorted or joined them."""
    for name in ("", ".compacting-*", ".rebuilding-*", ".restoring"):
        for left in path.parent.glob(f"{path.name}{name}.tmp"):
            rmtree(left, ignore_errors=True)


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    _clear(path)
    try:
        connection = duckdb.connect(
            ":memory:",
            # In the configuration, not set later: replay of a write-ahead log already needs them.
            config={
                "memory_limit": _memory_limit(),
                "temp_directory": str(path.with_name(path.name + ".tmp")),
                "storage_compatibility_version": "v1.5.0",
                # Never in a commit: the store says when.
                "wal_autocheckpoint": "1TB",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                # The store says when partly filled row groups are merged.
                "max_vacuum_tasks": "0",
                # What a burst took is given back while nothing happens, not at the next statement.
                "allocator_background_threads": "true",
                "python_enable_replacements": "false",
            },
        )
    except duckdb.Error as error:
        raise _refused(path, error, "cannot be opened as a DuckDB file") from None
    try:
        # The journal is the log: a commit is on disk with the next CHECKPOINT; what came later is read again.
        # A second log took a third of the time that DuckDB needs for an insert.
        connection.execute(
            f"ATTACH {quoted(path)} AS {_NAME} (RECOVERY_MODE NO_WAL_WRITES, ROW_GROUP_SIZE {_ROW_GROUP})"
        )
    except duckdb.Error as error:
        connection.close()
        raise _refused(path, error, "cannot be opened as a DuckDB file") from None
    try:
        use(connection)
        found = checked_version(connection, path)
        path.chmod(0o600)
        create(connection, path, found)
        # Not in the configuration: DuckDB then refuses the temp_directory beside it.
        connection.execute(
            "SET GLOBAL TimeZone = 'UTC'; SET enable_external_access = false; "
            "SET allowed_configs = ['max_vacuum_tasks']; SET lock_configuration = true"
        )
    except duckdb.Error as error:
        connection.close()
        raise _refused(path, error, "cannot be brought to this version") from None
    except StoreError:
        connection.close()
        raise
    return not_for_forks(connection)


_opened: Final[WeakSet[duckdb.DuckDBPyConnection]] = WeakSet()


def not_for_forks(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Keep a fork from closing a connection by its end: it would write what its parent has open."""
    _opened.add(connection)
    return connection


def _in_a_fork() -> None:
    for connection in list(_opened):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


os.register_at_fork(after_in_child=_in_a_fork)


def use(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Let names mean the tables of the file; every cursor needs it anew."""
    return connection.execute(f"USE {_NAME}")


def quoted(path: Path) -> str:
    """Return a path as a SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


@contextmanager
def reading(path: Path) -> Generator[duckdb.DuckDBPyConnection | None]:
    """Yield what reads a file as it is, and lets nobody write it meanwhile; None if it cannot be read.

    Raises:
        StoreError: another program has it open.
    """
    try:
        connection = duckdb.connect(str(path), read_only=True) if path.exists() else None
    except duckdb.Error as error:
        if _LOCKED in str(error):
            raise _held(path, error) from None
        connection = None
    with connection or nullcontext():
        yield connection


def _held(path: Path, error: duckdb.Error) -> StoreError:
    who = _HOLDER.search(str(error))
    by = f"process {who[2]} ({who[1]})" if who else f"another program ({first_line(error)})"
    return StoreError(
        f"{path} is open in {by}, and DuckDB lets one process at a time have a file: close it there; "
        "while `tupletrace serve` has it, `tupletrace sql` and --flight answer everybody"
    )


def _refused(path: Path, error: duckdb.Error, what: str) -> StoreError:
    said = first_line(error)
    if _LOCKED in said:
        return _held(path, error)
    system = isinstance(error, duckdb.OutOfMemoryException | duckdb.ConnectionException)
    system = system or any(reason in said for reason in (_ATTACHED, *_NOT_ITS_CONTENT))
    return (StoreError if system or path.is_dir() else Unusable)(f"{path} {what}: {said}")


def _memory_limit() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cgroup = Path("/sys/fs/cgroup/memory.max")
    if cgroup.exists() and (limit := cgroup.read_text().strip()).isdigit():
        total = min(total, int(limit))
    return f"{min(int(total * _MEMORY_SHARE), _MOST_MEMORY) // 2**20}MiB"
