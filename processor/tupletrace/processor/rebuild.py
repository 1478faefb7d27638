"""The journal indexed anew, whole into a new file or from a day on: after damage, or by mended mappings."""

import os
import time
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from tupletrace.processor import database, failpoint, index, journal
from tupletrace.processor.compact import saved, succeeding
from tupletrace.processor.dropping import Place
from tupletrace.processor.dropping import Progress as Progress
from tupletrace.processor.index import Job
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.schema import StoreError, statement
from tupletrace.processor.store import Store

_BATCHES_A_SETTLING: Final = 16


def rebuild(path: Path, progress: Progress, *, incomplete: bool = False) -> Path | None:
    """Make the database again from the journal; return where the old one is kept, if there was one.

    Whoever owns the database calls this. What an earlier attempt has done that was ended is not done again.
    ``incomplete``: although the old one holds what the journal does not give again.

    Raises:
        StoreError, JournalError: there is nothing to make it from, or not everything; nothing is changed.
    """
    with database.reading(path) as old:
        store, making = _begun(path)
        with closing(store):
            follow(journal_folder(path), store, progress)
            # One that is damaged, or of an older version, has nothing to say.
            with suppress(duckdb.Error):
                if old and not incomplete:
                    _expect_complete(path, old, store)
    failpoint.passing("rebuild.made")
    kept = database.set_aside(path, "replaced") if path.exists() else None
    failpoint.passing("rebuild.kept")
    making.replace(path)
    return kept


def rebuilding(place: Place, progress: Progress, *, incomplete: bool = False) -> Job[Path]:
    """Make the database again beside the one that is open, in steps, and let it take its place.

    Raises:
        StoreError, JournalError: there is nothing to make it from, or not everything; nothing is changed.
    """
    store, _ = _begun(place.path)
    try:
        yield from _following(journal_folder(place.path), store, progress)
        with place.store.cursor() as old:
            if not incomplete:
                _expect_complete(place.path, old, store)
    except BaseException:
        store.close()
        raise
    failpoint.passing("rebuild.made")
    yield from saved(place.store)
    # A second name: the first goes to the new file at one stroke.
    kept = database.aside(place.path, "replaced")
    os.link(place.path, kept)
    failpoint.passing("rebuild.kept")
    yield from succeeding(place.path, place.store, store)
    return kept


def _expect_complete(path: Path, old: duckdb.DuckDBPyConnection, new: Store) -> None:
    """Raise ``StoreError`` if the old database holds what the journal, of which the new one is, does not."""
    folder = journal_folder(path)
    edges = {"first": journal.first_seq(folder), "last": journal.last_seq(folder)}
    with new.cursor() as asked:
        old.register("lost", asked.sql("SELECT journal_seq, requests FROM lost_requests").to_arrow_table())
    ((requests,),) = old.execute(statement("statements/only_here"), edges).fetchall()
    old.unregister("lost")
    if requests:
        raise StoreError(
            f"what {requests} requests have brought is in {path} alone, the journal at {folder} has it no "
            "more: the one was restored without the other, or that is damaged; --incomplete goes on without"
        )


def _begun(path: Path) -> tuple[Store, Path]:
    folder = journal_folder(path)
    if journal.first_seq(folder) is None:
        raise StoreError(f"there is no journal at {folder}: nothing to make {path} from")
    # A name of its own each time: DuckDB remembers those of the files that it has open.
    making = path.with_name(f"{path.name}.rebuilding-{time.time_ns()}")
    for left in unfinished(path):
        left.replace(making)
    try:
        return Store(making), making
    except StoreError:
        # The attempt that was ended has left no usable file.
        database.remove(making)
        return Store(making), making


def unfinished(path: Path) -> list[Path]:
    """Return what an attempt to make a database again has left that was ended."""
    return [left for left in path.parent.glob(f"{path.name}.rebuilding*") if left.is_file()]


def reprocess(path: Path, since: datetime, progress: Progress) -> int:
    """Index again what was received from a moment on, and return how many requests that were.

    Raises:
        StoreError: the journal no longer holds all of them; nothing is changed then.
    """
    with closing(Store(path)) as store:
        return index.finished(reprocessing(Place(path, store), since, progress))


def reprocessing(place: Place, since: datetime, progress: Progress) -> Job[int]:
    """Do so with a database that is open, in steps. What is kept of dropped content stays as it is."""
    folder, store = journal_folder(place.path), place.store
    first = journal.seq_at(folder, int(since.timestamp() * 1_000_000_000))
    if first is None:
        return 0
    lost = 0
    for batch in journal.read(folder, first - 1, index.BATCH_BYTES):
        lost += sum(one.count for one in batch if one.damage)
        yield
    if lost:
        raise StoreError(
            f"{lost} requests of {folder} since {since:%Y-%m-%d %H:%M} cannot be read, so that "
            "their spans would be lost; nothing is changed"
        )
    index.catch_up(folder, store)
    store.rewind(first)
    # Without a pause: nothing that comes now can be indexed before it.
    follow(folder, store, lambda done, all_of_them: progress(done - first + 1, all_of_them - first + 1))
    return store.journal_seq - first + 1


def follow(folder: Path, store: Store, progress: Progress) -> None:
    """Index and settle everything that the journal has and the store has not seen."""
    for _ in _following(folder, store, progress):
        pass


def _following(folder: Path, store: Store, progress: Progress) -> Job[None]:
    last = journal.last_seq(folder)
    for number, _ in enumerate(index.batches(folder, store), 1):
        progress(store.journal_seq, last)
        if number % _BATCHES_A_SETTLING == 0:
            store.settle(index.QUIET_MS)
        yield
    store.settle(0)
    progress(last, last)
