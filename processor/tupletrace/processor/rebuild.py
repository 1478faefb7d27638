"""The journal indexed anew, whole into a new file or from a day on: after damage, or by mended mappings."""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

from tupletrace.processor import database, index, journal
from tupletrace.processor.database import StoreError
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.store import Store

_BATCHES_A_SETTLING: Final = 16
Progress = Callable[[int, int], None]
"""Is told how many of the journal's requests are indexed, and how many there are."""


def rebuild(path: Path, progress: Progress) -> Path | None:
    """Make the database again from the journal; return where the old one is kept, if there was one.

    Whoever owns the database calls this. What an earlier attempt has done that was ended is not done again.

    Raises:
        StoreError, JournalError: there is nothing to make it from.
    """
    folder = journal_folder(path)
    if journal.first_seq(folder) is None:
        raise StoreError(f"there is no journal at {folder}: nothing to make {path} from")
    making = unfinished(path)
    try:
        store = Store(making)
    except StoreError:
        # The attempt that was ended has left no usable file.
        database.remove(making)
        store = Store(making)
    with closing(store):
        follow(folder, store, progress)
    kept = database.set_aside(path, "replaced") if path.exists() else None
    making.replace(path)
    return kept


def unfinished(path: Path) -> Path:
    """Return where a database is made again until it is whole."""
    return path.with_name(path.name + ".rebuilding")


def reprocess(path: Path, since: datetime, progress: Progress) -> int:
    """Index again what was received from a moment on, and return how many requests that were.

    Raises:
        StoreError: the journal no longer holds all of them; nothing is changed then.
    """
    folder = journal_folder(path)
    first = journal.seq_at(folder, int(since.timestamp() * 1_000_000_000))
    if first is None:
        return 0
    lost = sum(one.count for batch in journal.read(folder, first - 1, 2**26) for one in batch if one.damage)
    if lost:
        raise StoreError(
            f"{lost} requests of {folder} since {since:%Y-%m-%d %H:%M} cannot be read, so that "
            "their spans would be lost; nothing is changed"
        )
    with closing(Store(path)) as store:
        index.catch_up(folder, store)
        store.rewind(first)
        follow(folder, store, lambda done, all_of_them: progress(done - first + 1, all_of_them - first + 1))
    return journal.last_seq(folder) - first + 1


def follow(folder: Path, store: Store, progress: Progress) -> None:
    """Index and settle everything that the journal has and the store has not seen."""
    last = journal.last_seq(folder)
    for number, _ in enumerate(index.batches(folder, store), 1):
        progress(store.journal_seq, last)
        if number % _BATCHES_A_SETTLING == 0:
            store.settle(index.QUIET_MS)
    store.settle(0)
    progress(last, last)
