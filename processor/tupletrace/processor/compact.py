"""A database copied without its free blocks, while others read and write it: the room is given back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import duckdb

from tupletrace.processor import database, failpoint, index
from tupletrace.processor.index import Job
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.schema import VIEWS, StoreError, statement, statement_names
from tupletrace.processor.store import Store

LINGERING: Final = "lingering"
"""Key in ``meta``: something was dropped whose bytes are still in the file, where nothing came over them."""
_SMALL_BYTES: Final = 4 * 2**30
_POLL_S: Final = 0.05
_ROWS: Final = 8192
_SAVE_BYTES: Final = 256 * 2**20
_WORTHWHILE: Final = 0.25
"""Of the blocks free. New rows fill them again: where as much comes as goes nothing need be copied."""
_FREE: Final = """
    SELECT free_blocks / greatest(total_blocks, 1), current_setting('temp_directory')
    FROM pragma_database_size()
    WHERE database_name = current_database()
"""


def compacting(path: Path, store: Store, *, always: bool = False) -> Job[None]:
    """Copy the database if it is small, or that gives back much room, or ``always``.

    The copy is of one moment; what has come since it takes from the journal, and then its place. Ended before
    that, it is begun anew another time.
    """
    yield from saved(store)
    with store.cursor() as cursor:
        ((share, temporary),) = cursor.execute(_FREE).fetchall()
    if not always and share < _WORTHWHILE and path.stat().st_size > _SMALL_BYTES:
        return
    for left in path.parent.glob(f"{path.name}.compacting-*"):
        # What is open may itself have been such a copy, and have its temporary files there.
        if str(left) != temporary:
            database.remove(left.with_name(left.name.removesuffix(".tmp")))
    # A name of its own each time: DuckDB remembers those of the files that it has open.
    target = path.with_name(f"{path.name}.compacting-{time.time_ns()}")
    ended = threading.Event()
    try:
        with store.cursor() as cursor, ThreadPoolExecutor(1, "tupletrace-compact") as pool:
            try:
                copying = pool.submit(_copied, cursor, target, ended)
                while not copying.done():
                    time.sleep(_POLL_S)
                    yield
            finally:
                ended.set()
            other = copying.result()
        yield from succeeding(path, store, other)
    except BaseException:
        database.remove(target)
        raise


def saved(store: Store) -> Job[None]:
    """Bring what was committed to disk, as soon as nobody copies or changes the file."""
    while not store.save():
        time.sleep(_POLL_S)
        yield


def succeeding(path: Path, store: Store, other: Store) -> Job[None]:
    """Let a store with what the journal said some time ago take the rest, and the place of the open one."""
    folder = journal_folder(path)
    try:
        for _ in index.batches(folder, other):
            yield
        index.catch_up(folder, other)
        store.become(other)
    except BaseException:
        other.close()
        raise


def _copied(cursor: duckdb.DuckDBPyConnection, target: Path, ended: threading.Event) -> Store:
    """Copy every table as it is at this moment, and open the copy: its views take a while."""
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    with duckdb.connect(config={"wal_autocheckpoint": "1TB"}) as copy:
        attached = "RECOVERY_MODE NO_WAL_WRITES, STORAGE_VERSION 'v1.5.0'"
        copy.execute(f"ATTACH {database.quoted(target)} AS copy ({attached}); USE copy")
        target.chmod(0o600)
        unsaved = 0
        for table in statement_names("schema"):
            copy.execute(statement(f"schema/{table}"))
            for rows in cursor.sql(f"FROM {table}").to_arrow_reader(_ROWS):
                if ended.is_set():
                    raise StoreError("it was ended before the database was copied")
                copy.register("copied", rows)
                copy.execute(f"INSERT INTO {table} BY NAME FROM copied")
                copy.unregister("copied")
                unsaved += rows.nbytes
                if unsaved >= _SAVE_BYTES:
                    copy.execute("CHECKPOINT")
                    unsaved = 0
        copy.execute("DELETE FROM meta WHERE key IN (?, ?)", [VIEWS, LINGERING])
        copy.execute("CHECKPOINT")
    cursor.execute("COMMIT")
    failpoint.passing("compact.copied")
    return Store(target)
