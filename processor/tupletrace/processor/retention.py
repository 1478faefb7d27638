"""How long spans are kept, and how long what was said in them: by age and by size, the oldest first."""

import json
import logging
import math
import re
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb

from tupletrace.processor import index, journal, journal_file, metrics
from tupletrace.processor.compact import LINGERING, compacting
from tupletrace.processor.dropping import Place, Progress, drop
from tupletrace.processor.index import Job
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.schema import StoreError, statement
from tupletrace.processor.strip import CREDIBLE_UNIX_NANO, Dropped, Rule
from tupletrace.processor.times import seconds

_logger: Final = logging.getLogger(__name__)
_RECORDS: Final = "dropped.jsonl"
_CONTENT: Final = "content"
_SPANS: Final = "spans"
_BEFORE: Final = "content_before_us"
_LOOKED_AT: Final = "content_seq"
"""Keys in ``meta``: content of what began before is dropped, as far as it had come with that request."""
_EVER_US: Final = -(2**60)
_DAY_S: Final = 86_400.0
_JUMP_S: Final = 3_600.0
_RUNNING: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that nobody sets, and which goes on while the machine sleeps, if the system has one."""
_SHARE: Final = 7
"""What is due is dropped a seventh of its age later, or a day: a file is not rewritten for every request."""
_LOOK_S: Final = 60.0
_ENOUGH: Final = 0.9
"""Of the size that is allowed is left, so that not every new request drops an old one."""
_LEAST: Final = 0.1
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_THOUSANDS: Final = ("", "k", "m", "g", "t", "p")


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept: ages in seconds, bytes of database and journal together; None: for ever, any."""

    content_s: float | None = None
    spans_s: float | None = None
    size_bytes: int | None = None

    @classmethod
    def of(cls, content: str | None = None, spans: str | None = None, size: str | None = None) -> "Policy":
        """Read what is said as ``7d``, ``1d12h``, ``20GB``.

        Raises:
            ValueError: it is no age, or no size, or content would be kept longer than its span.
        """
        content_s, spans_s = seconds(content) if content else None, seconds(spans) if spans else None
        if content_s is not None and spans_s is not None and content_s > spans_s:
            raise ValueError(f"content ({content}) cannot be kept longer than the spans it is in ({spans})")
        return cls(content_s, spans_s, _bytes(size) if size else None)

    @property
    def ages_s(self) -> dict[str, float]:
        """What is dropped by age, in the order in which it is."""
        ages = {_SPANS: self.spans_s, _CONTENT: self.content_s}
        return {what: age for what, age in ages.items() if age is not None}

    def before(self, now_s: float) -> dict[str, int]:
        """Return until when (microseconds) what is to be dropped now, in steps short beside the age."""
        steps = {what: min(max(age / _SHARE, 1), _DAY_S) for what, age in self.ages_s.items()}
        return {what: int((now_s - self.ages_s[what]) // step * step * 1e6) for what, step in steps.items()}


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if not found or not float(found[1]):
        raise ValueError(f"{text!r} is no size: write 500MB or 20GB (a KB has 1024 bytes)")
    return int(float(found[1]) * 1024 ** _THOUSANDS.index(found[2].lower()))


def retaining(
    place: Place, policy: Policy, progress: Progress, before: dict[str, int] | None = None
) -> Job[dict[str, Any]]:
    """Drop what is older than it may be, then what is too much; return what that was, and what is left.

    ``before``: until when (microseconds), if that is not to the moment what ``policy`` says; then room in the
    database is given back only if it is much.
    """
    by_hand = before is None
    if before is None:
        now_s = time.time()
        before = {what: int((now_s - age) * 1e6) for what, age in policy.ages_s.items()}
    index.catch_up(journal_folder(place.path), place.store)
    yield
    found: list[dict[str, Any] | None] = []
    for what, until in before.items():
        found.append((yield from _drop(place, what, "age", until, progress)))
    if LINGERING in _known(place) and _room(place):
        yield from compacting(place.path, place.store, always=by_hand)
    if policy.size_bytes is not None:
        found += yield from _fit(place, policy.size_bytes, progress)
    return {"dropped": [one for one in found if one], **kept(place)}


def kept(place: Place) -> dict[str, Any]:
    """Return the bytes of database and journal, and since when spans and content are kept (None: none)."""
    since = {f"{what}_since": us and _moment(us) for what, us in _since(place).items()}
    return sizes(place.path) | since


def observe(place: Place) -> None:
    """Let metrics say what is kept."""

    def seconds_since(what: str) -> float:
        try:
            return (_since(place)[what] or math.nan) / 1e6
        except duckdb.Error:
            # It is being opened again, or closed.
            return math.nan

    for what in (_SPANS, _CONTENT):
        metrics.observe(f"{what}_since_timestamp_seconds", partial(seconds_since, what))
    for name in sizes(place.path):
        metrics.observe(name, lambda name=name: sizes(place.path)[name])


def sizes(path: Path) -> dict[str, int]:
    """Return the bytes of a database and of its journal."""
    files = journal_folder(path).glob("*.sqlite*")
    return {"database_bytes": _size(path), "journal_bytes": sum(map(_size, files))}


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _since(place: Place) -> dict[str, int | None]:
    with place.store.cursor() as cursor:
        ((oldest,),) = cursor.execute("SELECT epoch_us(min(start_time)) FROM spans").fetchall()
        ((until,),) = cursor.execute("SELECT max(value) FROM meta WHERE key = ?", [_BEFORE]).fetchall()
    return {_SPANS: oldest, _CONTENT: oldest if None in (oldest, until) else max(oldest, until)}


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat()


def again(place: Place, folder: Path, since: datetime) -> Job[None]:
    """Drop from a database of a past moment what was dropped since then, by the records of a journal."""
    records = (
        map(json.loads, (folder / _RECORDS).read_text().splitlines()) if (folder / _RECORDS).exists() else ()
    )
    since_then = [record for record in records if datetime.fromisoformat(record["time"]) >= since]
    for record in since_then:
        before = int(datetime.fromisoformat(record["before"]).timestamp() * 1e6)
        yield from _dropping(place, folder, record["what"], record["because"], before, _unseen)
    if since_then:
        yield from compacting(place.path, place.store, always=True)


def _drop(
    place: Place, what: str, because: str, before: int, progress: Progress
) -> Job[dict[str, Any] | None]:
    folder = journal_folder(place.path)
    dropped = yield from _dropping(place, folder, what, because, before, progress)
    if not (dropped.spans or dropped.log_records or dropped.undecodable):
        return None
    record = {
        "time": datetime.now(UTC).isoformat(),
        "what": what,
        "because": because,
        "before": _moment(before),
        **asdict(dropped),
    }
    with (folder / _RECORDS).open("a") as records:
        records.write(json.dumps(record) + "\n")
    metrics.DROPPED.labels(what, because).inc(dropped.spans)
    _logger.info("dropped %s of %d spans before %s (%s)", what, dropped.spans, record["before"], because)
    return record


def _dropping(
    place: Place, folder: Path, what: str, because: str, before: int, progress: Progress
) -> Job[Dropped]:
    """Drop what is due; ``folder``: the journal, which says when what was received."""
    content_only = what == _CONTENT
    last = place.store.journal_seq
    said = _known(place) if content_only else {}
    known = said.get(_BEFORE, _EVER_US), said.get(_LOOKED_AT, 0)
    aged = because == "age"
    received = _received_since(folder, before * 1000) if aged else 0
    credible = CREDIBLE_UNIX_NANO // 1000 if aged else _EVER_US
    with place.store.changing() as connection:
        connection.execute(
            statement("statements/due_traces"),
            {
                "before": before,
                "received": received,
                "credible": credible,
                "since": known[0],
                "looked_at": known[1],
            },
        )
    yield
    dropped = yield from drop(place, Rule(content_only, before * 1000), progress)
    if content_only:
        with place.store.changing() as connection:
            connection.execute("DELETE FROM meta WHERE key IN (?, ?)", [_BEFORE, _LOOKED_AT])
            reached = [_BEFORE, max(before, known[0]), _LOOKED_AT, last]
            connection.execute("INSERT INTO meta VALUES (?, ?), (?, ?)", reached)
    return dropped


def _known(place: Place) -> dict[str, int]:
    return dict(zip(*place.asked("SELECT key, value FROM meta").to_pydict().values(), strict=True))


def _received_since(folder: Path, unix_nano: int) -> int:
    """Return the first request that came at a time or later; if none did, the one that comes next."""
    for file in journal.files(folder):
        if journal_file.state(file).last_unix_nano >= unix_nano:
            return journal_file.seq_at(file, unix_nano) or 0
    return journal.last_seq(folder) + 1


def _fit(place: Place, most: int, progress: Progress) -> Job[list[dict[str, Any]]]:
    """Drop the oldest content, and when there is none left the oldest spans, until the rest has room."""
    found: list[dict[str, Any]] = []
    what = _CONTENT
    since = _known(place).get(_BEFORE, _EVER_US)
    while (used := sum(sizes(place.path).values())) > most:
        share = min(max((used - most * _ENOUGH) / used, _LEAST), 1.0)
        asked = statement("statements/start_quantile")
        (began,) = place.asked(asked, share=share, since=since)["began"].to_pylist()
        if began is None and what == _SPANS:
            _logger.warning("%d bytes are used, %d allowed, and nothing is left to drop", used, most)
            break
        if began is None:
            what, since = _SPANS, _EVER_US
            continue
        record = yield from _drop(place, what, "size", began + 1, progress)
        since = began + 1 if what == _CONTENT else since
        if record:
            found.append(record)
            if _room(place):
                yield from compacting(place.path, place.store, always=True)
    return found


def _room(place: Place) -> bool:
    """Say whether there is room on the disk for a copy of the database."""
    there = shutil.disk_usage(place.path.parent).free > place.path.stat().st_size
    if not there:
        _logger.warning("no room to copy %s: what was dropped is given back another time", place.path)
    return there


def _unseen(_done: int, _total: int) -> None:
    """Nobody looks."""


class Clock:
    """What time it is: that of the system, but a jump ahead is believed only after a day.

    Everything would be too old at once.
    """

    def __init__(self) -> None:
        """Believe what the system says now."""
        self._ahead = time.time() - time.clock_gettime(_RUNNING)
        self._jumped_at: float | None = None

    def now(self) -> float:
        """Return seconds since the epoch."""
        running = time.clock_gettime(_RUNNING)
        ahead = time.time() - running
        if self._jumped_at is not None and running >= self._jumped_at + _DAY_S:
            self._ahead = ahead
        if ahead < self._ahead + _JUMP_S:
            self._ahead, self._jumped_at = ahead, None
        elif self._jumped_at is None:
            self._jumped_at = running
            _logger.warning(
                "the clock has jumped ahead by %.0f s: until that is a day ago nothing is dropped for it; "
                "start again to believe it now",
                ahead - self._ahead,
            )
        return running + self._ahead


class Keeper:
    """A thread that has dropped, now and then, what a policy does not keep."""

    def __init__(
        self, place: Place, policy: Policy, run: Callable[[Job[dict[str, Any]]], Future[dict[str, Any]]]
    ) -> None:
        """Begin; ``run`` lets a job make its steps between those of the index."""
        self._place, self._policy, self._run = place, policy, run
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tupletrace-retention", daemon=True)
        if policy != Policy():
            self._thread.start()

    def stop(self) -> None:
        """End the thread; a job under way is not waited for."""
        self._stopping.set()

    def _follow(self) -> None:
        pause = min([_LOOK_S, *(max(age / _SHARE, 1) for age in self._policy.ages_s.values())])
        done: dict[str, int] = {}
        clock = Clock()
        while True:
            before = self._policy.before(clock.now())
            used = sum(sizes(self._place.path).values())
            over = self._policy.size_bytes is not None and used > self._policy.size_bytes
            if before != done or over:
                try:
                    self._run(retaining(self._place, self._policy, _unseen, before)).result()
                    done = before
                except Exception as error:  # noqa: BLE001 - nothing is lost, it is tried again
                    if isinstance(error, StoreError) and self._stopping.is_set():
                        return
                    _logger.warning("retention failed; it is tried again: %s", error)
            if self._stopping.wait(pause):
                return
