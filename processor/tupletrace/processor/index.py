"""Journal -> decoded -> normalised -> stored -> settled: the one road by which spans reach DuckDB."""

import logging
import threading
from pathlib import Path
from typing import Final

import pyarrow as pa

from tupletrace.processor import decode, journal, wire
from tupletrace.processor.database import needs_reconnect
from tupletrace.processor.journal import Request
from tupletrace.processor.normalise import canonical
from tupletrace.processor.store import Store

_logger: Final = logging.getLogger(__name__)
BATCH_BYTES: Final = 8 * 2**20
QUIET_MS: Final = 2_000
"""A trace that received nothing for so long settles; a later span opens it again."""
_TICK_S: Final = 0.25


def catch_up(folder: Path, store: Store) -> None:
    """Index every journalled request that the store has not seen."""
    for requests in journal.read(folder, store.journal_seq, BATCH_BYTES):
        _index(requests, store)


def _index(requests: list[Request], store: Store) -> None:
    traces = [request for request in requests if request.signal == wire.TRACES]
    found = decode.spans([request.body for request in traces])
    seqs = pa.array([request.seq for request in traces], pa.int64())
    table = canonical(found)
    table = table.append_column("journal_seq", seqs.take(table["request"]))
    store.insert(table.drop_columns(["request"]), requests[-1].seq)


class Indexer:
    """A thread that follows the journal; ``wake`` it after an append."""

    def __init__(self, folder: Path, store: Store) -> None:
        """Start following ``folder``."""
        self._folder, self._store = folder, store
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="tupletrace-indexer", daemon=True)
        self._thread.start()

    def failed(self, error: Exception) -> None:
        """Say that reading the database gave this error."""
        if needs_reconnect(error):
            self._failure = error
            self._woken.set()

    def wake(self) -> None:
        """Say that the journal has grown."""
        self._woken.set()

    def stop(self) -> None:
        """Index what is left and end the thread."""
        self._stopping.set()
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        # What a processor that was killed left behind.
        self._woken.set()
        while not self._stopping.is_set():
            # Without an append the tick still settles traces that have become quiet.
            self._woken.wait(_TICK_S)
            self._step()
        self._step()

    def _step(self) -> None:
        try:
            if self._failure is not None and needs_reconnect(self._failure):
                self._store.recover(self._failure)
            if self._woken.is_set() or self._failure is not None:
                self._woken.clear()
                catch_up(self._folder, self._store)
            self._store.settle(QUIET_MS)
        except Exception as error:
            # The journal keeps everything: say so once, and try again at the next tick.
            if self._failure is None:
                _logger.exception("indexing failed; nothing is lost, it is tried again")
            self._failure = error
        else:
            self._failure = None
