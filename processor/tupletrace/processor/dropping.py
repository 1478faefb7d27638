"""Traces, or what was said in them, taken out of the journal and the database, in small steps.

The journal first, the database after it: whatever ends it in between, the database still says what is due.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from tupletrace.processor import content, failpoint, journal, journal_file
from tupletrace.processor.index import Job
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.journal_file import COMPRESSED, WITHOUT_CONTENT
from tupletrace.processor.schema import statement
from tupletrace.processor.store import Store
from tupletrace.processor.strip import ROWS, Dropped, Rule, Strip

_STEP: Final = 2048
"""Spans that are in memory with their content."""
Progress = Callable[[int, int], None]
"""Is told how far something is, and how far it will be."""
_Window = tuple[int, int]
"""First and last request of about so many due spans."""


class Place(NamedTuple):
    """A database that is open, and the journal if something may be written to it meanwhile."""

    path: Path
    store: Store
    journal: Journal | None = None

    def asked(self, sql: str, asked: pa.Table | None = None, **values: Any) -> pa.Table:
        """Return the answer to SQL, where temporary tables are."""
        with self.store.changing() as connection:
            if asked is None:
                return connection.sql(sql, params=values or None).to_arrow_table()
            connection.register("asked", asked)
            try:
                return connection.sql(sql, params=values or None).to_arrow_table()
            finally:
                connection.unregister("asked")

    def closed(self) -> list[Path]:
        """Return the files of the journal that nobody writes to."""
        files = journal.files(journal_folder(self.path))
        return [file for file in files if self.journal is None or file < self.journal.file]


def drop(place: Place, rule: Rule, progress: Progress) -> Job[Dropped]:
    """Drop the traces of the temporary table ``due``, or their content, from the journal and the database.

    Ended before its end, it is begun anew another time. ``progress`` is told of the files of the journal.
    """
    dropped = Dropped()
    rows = place.asked(statement("statements/due_rows"))
    seqs = rows["journal_seq"].to_pylist()
    windows = list(_windows(seqs, rows["spans"].to_pylist()))
    counted = place.asked("SELECT count(DISTINCT trace_id) AS n FROM spans WHERE trace_id IN (FROM due)")
    dropped.traces = counted["n"][0].as_py()
    yield
    last = place.store.journal_seq
    strip = Strip(place.asked, rule, last, dropped)
    yield from _from_journal(place, rule, strip, last, seqs, progress)
    failpoint.passing("drop.journal")
    if rule.content_only:
        yield from _content(place, windows, dropped)
        _run(place, "drop_content_of_records", before=rule.before_unix_nano)
    else:
        yield from _traces(place, windows)
        _run(place, "drop_records_without_trace", before=rule.before_unix_nano)
        dropped.spans = sum(rows["spans"].to_pylist())
    if dropped.log_records:
        _run(place, "linger")
    failpoint.passing("drop.database")
    yield
    return dropped


def _windows(seqs: list[int], spans: list[int]) -> Iterator[_Window]:
    first, count = 0, 0
    for seq, here in zip(seqs, spans, strict=True):
        first = first or seq
        count += here
        if count >= _STEP:
            yield first, seq
            first, count = 0, 0
    if count:
        yield first, seqs[-1]


def _from_journal(
    place: Place, rule: Rule, strip: Strip, last: int, seqs: list[int], progress: Progress
) -> Job[None]:
    before, content_only = rule.before_unix_nano, rule.content_only
    last_due = last if before is None else seqs[-1] if seqs else 0
    if place.journal and 0 < journal_file.state(place.journal.file).first <= last_due:
        place.journal.roll()
    files = place.closed()
    for number, file in enumerate(files):
        progress(number, len(files))
        found = journal_file.state(file)
        yield
        over = before is not None and found.last_unix_nano < before and found.last <= last
        here = seqs[bisect_left(seqs, found.first) : bisect_right(seqs, found.last)]
        stripped = found.version == WITHOUT_CONTENT
        if found.empty or not (before is None or here or (over and not (content_only and stripped))):
            continue
        # After a rebuild it is looked for where it is no more.
        if content_only and stripped and not (yield from _has_content(place, here)):
            continue
        version = WITHOUT_CONTENT if stripped or (over and content_only) else COMPRESSED
        yield from journal_file.rewriting(file, version, strip)
    progress(len(files), len(files))
    yield from _trim(place)


def _has_content(place: Place, seqs: list[int]) -> Job[bool]:
    for first in range(0, len(seqs), _STEP):
        window = seqs[first], seqs[min(first + _STEP, len(seqs)) - 1]
        if content.without(_rows(place, window))[1].any():
            return True
        yield
    return False


def _trim(place: Place) -> Job[None]:
    """Remove files at the beginning of the journal of which nothing is left; the last one holds its place."""
    newest = journal.files(journal_folder(place.path))[-1:]
    for file in place.closed():
        if file in newest or not journal_file.state(file).empty:
            return
        file.unlink()
        yield


def _rows(place: Place, window: _Window) -> pa.Table:
    return place.asked(ROWS, first=window[0], last=window[1])


def _content(place: Place, windows: list[_Window], dropped: Dropped) -> Job[None]:
    for first, last in windows:
        rows, had = content.without(_rows(place, (first, last)))
        if had.any():
            # DuckDB, too, writes a row with a map anew where a value of it changes.
            with place.store.changing() as connection:
                connection.execute(
                    "DELETE FROM spans WHERE journal_seq BETWEEN $first AND $last AND trace_id IN (FROM due)",
                    {"first": first, "last": last},
                )
                connection.register("stripped", rows)
                connection.execute("INSERT INTO spans BY NAME FROM stripped")
                connection.unregister("stripped")
            _run(place, "linger")
            dropped.spans += int(had.sum())
        yield


def _traces(place: Place, windows: list[_Window]) -> Job[None]:
    """Delete what hangs on traces, then their spans: as long as one of these is there the trace is due."""
    if not place.asked("SELECT 1 FROM due LIMIT 1").num_rows:
        return
    with place.store.changing() as connection:
        for (table,) in connection.execute(statement("statements/tables_beside_spans")).fetchall():
            connection.execute(f"DELETE FROM {table} WHERE trace_id IN (FROM due)")
        connection.execute(statement("statements/drop_layers"))
    _run(place, "linger")
    yield
    for first, last in windows:
        with place.store.changing() as connection:
            connection.execute(
                "DELETE FROM spans WHERE journal_seq BETWEEN $first AND $last AND trace_id IN (FROM due)",
                {"first": first, "last": last},
            )
        yield
    # What has come for them meanwhile goes another time.
    _run(place, "open_what_is_left")


def _run(place: Place, name: str, **values: Any) -> None:
    with place.store.changing() as connection:
        for one in statement(f"statements/{name}").split(";\n\n"):
            connection.execute(one, values or None)
