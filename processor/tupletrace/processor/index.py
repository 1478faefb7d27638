"""Journal -> decoded -> normalised -> stored -> settled: the one road by which spans reach DuckDB."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor import decode, failpoint, journal, memory, stages, telling, wire
from tupletrace.processor.database import needs_reconnect
from tupletrace.processor.journal_file import JournalError, Request
from tupletrace.processor.normalise import canonical
from tupletrace.processor.schema import StoreError
from tupletrace.processor.store import Store

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

T = TypeVar("T")
Job = Generator[None, None, T]
"""Something to be done to the database in small steps, and what it returns in the end."""
_Decoded = tuple[pa.Table, pa.Table, int, list[Request]]
"""Spans, what log records tell of spans, the last request, and those that cannot be read."""
_logger: Final = logging.getLogger(__name__)
BATCH_BYTES: Final = 16 * 2**20
"""At most: a batch is what came while the one before was stored, so that batches grow with the load."""
_LARGE_BYTES: Final = 2 * BATCH_BYTES
"""A batch that ends with a request larger than itself: two of these would be too much at once."""
QUIET_MS: Final = 2_000
"""A trace that received nothing for so long is complete; a later span makes it incomplete again."""
_TICK_S: Final = 0.25
_IDLE_TICK_S: Final = 1.0
"""While nothing waits to be settled or brought to disk: then it is only asked what users have set."""
_RETRY_S: Final = 1.0
_JOBS_S: Final = 0.05
"""So long do jobs take, then what has come is looked for again."""
_IDLE_S: Final = 5.0
_STARTED_S: Final = 2.0
"""So long after the last batch, and after the start, memory is given back."""
_SETTLING_SHARE: Final = 0.1
_SETTLE_WITHIN_S: Final = 1.0
"""Settling has a cost of its own, whatever it settles: it waits for more, but not for longer than this."""
_SETTLE_BEHIND_S: Final = 2.0
"""And so much longer while more has come than one batch holds: that is stored first."""


def finished(job: "Job[T]") -> T:
    """Make every step of a job, and return what it returns."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


def catch_up(folder: Path, store: Store) -> None:
    """Index every journalled request that the store has not seen."""
    for _ in batches(folder, store):
        pass


def batches(folder: Path, store: Store) -> Iterator[bool]:
    """Store what the journal holds; yield after each batch whether another waits, decoded meanwhile."""
    reading = journal.read(folder, store.journal_seq, BATCH_BYTES)
    with ThreadPoolExecutor(1, "tupletrace-decoder") as decoder:
        try:
            coming = decoder.submit(_next, reading)
            while (found := coming.result()) is not None:
                failpoint.passing("index.read")
                size, decoded = found
                ahead = decoder.submit(_next, reading) if size <= _LARGE_BYTES else None
                for one in decoded:
                    _insert(store, *one)
                    # A large one is gone before the next is decoded.
                    del one
                    yield ahead is not None and ahead.result() is not None
                del found, decoded
                coming = ahead or decoder.submit(_next, reading)
        finally:
            # It belongs to the thread that reads.
            decoder.submit(reading.close)


def _next(reading: Generator[list[Request]]) -> tuple[int, Iterable[_Decoded]] | None:
    """Return the bytes of the next batch, and what it holds."""
    requests = next(reading, None)
    if requests is None:
        return None
    found = sum(len(one.body) for one in requests), _decoded(requests)
    # Whoever reads knows the list until it goes on.
    requests.clear()
    return found


def _insert(store: Store, batch: pa.Table, told: pa.Table, journal_seq: int, lost: list[Request]) -> None:
    for one in lost:
        _logger.warning("request %d of the journal (%d in all) is lost: %s", one.seq, one.count, one.damage)
    store.note_lost([(one.seq, one.count, one.damage) for one in lost])
    store.insert(batch, journal_seq, told)


def _decoded(requests: list[Request]) -> Iterable[_Decoded]:
    """Return what requests hold, at once or, where that is too much, one part of them after the other."""
    try:
        return [_decoded_at_once(requests)]
    except decode.TooWide as error:
        if len(requests) == 1:
            return _decoded([replace(requests[0], signal="", body=b"", damage=str(error))])
        half = len(requests) // 2
        return chain.from_iterable(map(_decoded, (requests[:half], requests[half:])))


def _decoded_at_once(requests: list[Request]) -> _Decoded:
    lost = [request for request in requests if request.damage is not None]
    found, traces = _readable(requests, wire.TRACES, decode.spans, lost)
    told, logs = _readable(requests, wire.LOGS, telling.decoded, lost)
    return _staged(_numbered(canonical(found), traces)), _numbered(told, logs), requests[-1].seq, lost


def _staged(batch: pa.Table) -> pa.Table:
    """Let the user's stages see the spans, once: not again what is kept of those whose content is gone."""
    kept = batch.column("kept")
    batch = batch.drop_columns(["kept"])
    if not pc.any(kept).as_py():
        return stages.run(batch)
    found = pa.concat_tables([stages.run(batch.filter(pc.invert(kept))), batch.filter(kept)])
    return found.take(pc.sort_indices(found["journal_seq"]))


def _readable(
    requests: list[Request], signal: str, read: Callable[[list[bytes]], T], lost: list[Request]
) -> tuple[T, list[Request]]:
    """Return what the requests of a signal hold, and which can be read; the others are added to ``lost``."""
    asked = [request for request in requests if request.signal == signal]
    try:
        return read([request.body for request in asked]), asked
    except wire.MalformedRequest:
        asked, undecodable = _decodable(asked, read)
        lost += undecodable
        return read([request.body for request in asked]), asked


def _numbered(table: pa.Table, requests: list[Request]) -> pa.Table:
    seqs = pa.array([request.seq for request in requests], pa.int64())
    return table.append_column("journal_seq", seqs.take(table["request"])).drop_columns(["request"])


def _decodable(
    requests: list[Request], read: Callable[[list[bytes]], object]
) -> tuple[list[Request], list[Request]]:
    """Tell those that can be decoded from those that cannot: one must not hold up the others."""
    good, bad = list[Request](), list[Request]()
    for request in requests:
        try:
            read([request.body])
        except wire.MalformedRequest as error:
            bad.append(replace(request, damage=str(error)))
        else:
            good.append(request)
    return good, bad


class Indexer:
    """A thread that follows the journal; ``wake`` it after an append."""

    def __init__(self, folder: Path, store: Store) -> None:
        """Start following ``folder``."""
        self._folder, self._store = folder, store
        self._woken, self._stopping, self._ending = threading.Event(), threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self._broken: Exception | None = None
        self._settle_at, self._retry_at = 0.0, 0.0
        self._give_back_at = time.monotonic() + _STARTED_S
        self._jobs: deque[tuple[Job[Any], Future[Any]]] = deque()
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

    def run(self, job: "Job[T]") -> "Future[T]":
        """Let a job make its steps between batches, after the jobs before it; return what it will return."""
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()
        self._jobs.append((job, done))
        self._woken.set()
        return done

    def end_jobs(self) -> None:
        """Give up the jobs that are not done yet, and those that are still given."""
        self._ending.set()
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
            pausing = self._stopping if self._failure else self._woken
            pausing.wait(0 if self._jobs else self._tick())
            self._take_settings()
            if time.monotonic() >= self._retry_at:
                self._step()
            self._advance()
            if time.monotonic() >= self._give_back_at:
                memory.give_back()
                self._give_back_at = math.inf
        self._give_up()
        self._step()

    def _tick(self) -> float:
        busy = self._store.waits or self._failure is not None or self._give_back_at < math.inf
        return _TICK_S if busy else _IDLE_TICK_S

    def _advance(self) -> None:
        if self._ending.is_set():
            self._give_up()
        until = time.monotonic() + _JOBS_S
        while self._jobs and time.monotonic() < until:
            job, done = self._jobs[0]
            try:
                next(job)
                continue
            except StopIteration as end:
                done.set_result(end.value)
            except Exception as error:  # noqa: BLE001 - whoever gave the job is told
                self.failed(error)
                done.set_exception(error)
            self._jobs.popleft()

    def _give_up(self) -> None:
        with suppress(IndexError):
            while True:
                job, done = self._jobs.popleft()
                job.close()
                done.set_exception(StoreError("the processor is stopping"))

    def _take_settings(self) -> None:
        try:
            self._store.take_settings()
        except StoreError as error:
            _logger.warning("what was set before stays in force: %s", error)
        except duckdb.Error as error:
            self.failed(error)

    def _step(self) -> None:
        try:
            if self._failure is not None and needs_reconnect(self._failure):
                self._broken = self._failure
            # Until it is mended: it may be that the file cannot be opened either for now.
            if self._broken is not None:
                self._store.recover(self._broken)
                self._broken = None
            if self._woken.is_set() or self._failure is not None:
                self._woken.clear()
                for behind in batches(self._folder, self._store):
                    self._settle(behind)
                    self._give_back_at = time.monotonic() + _IDLE_S
            self._settle()
        except Exception as error:
            # The journal keeps everything: say so once, and try again before long.
            if self._failure is None and isinstance(error, StoreError | JournalError):
                _logger.warning(
                    "nothing is indexed for now, and nothing is lost, it is tried again: %s", error
                )
            elif self._failure is None:
                _logger.exception("indexing failed; nothing is lost, it is tried again")
            self._failure = error
            self._retry_at = time.monotonic() + _RETRY_S
        else:
            self._failure = None

    def _settle(self, behind: bool = False) -> None:
        began = time.monotonic()
        if began >= self._settle_at + (_SETTLE_BEHIND_S if behind else 0):
            self._store.settle(QUIET_MS)
            now = time.monotonic()
            self._settle_at = now + min((now - began) / _SETTLING_SHARE, _SETTLE_WITHIN_S)
