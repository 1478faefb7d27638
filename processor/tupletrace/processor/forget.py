"""``tupletrace forget``: traces taken out of the journal and the database, until no byte of them is left."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from tupletrace.processor import database, failpoint, index
from tupletrace.processor.compact import compacting
from tupletrace.processor.dropping import Place, drop
from tupletrace.processor.index import Job
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.rebuild import Progress, unfinished
from tupletrace.processor.schema import statement
from tupletrace.processor.store import Store
from tupletrace.processor.strip import Rule
from tupletrace.semconv.dialects import COLUMNS

KINDS: Final = {"user": "user_id", "conversation": "conversation_id", "trace": "trace_id"}
"""What may be forgotten: the column of ``spans`` in which it stands."""
ATTRIBUTES: Final = {
    kind: [source.key for source in COLUMNS.get(column, ()) if not (source.sql or source.dialect)]
    for kind, column in KINDS.items()
}
"""By which what is no span, or is not stored, says whose it is."""
_RECORDS: Final = "forgotten.jsonl"


class Forgotten(NamedTuple):
    """One time that something was forgotten: which of ``KINDS`` it was, and the SHA-256 of its name."""

    time: datetime
    kind: str
    sha256: str


def forgotten(folder: Path) -> Iterator[Forgotten]:
    """Yield what was forgotten in a journal, the first first."""
    if (file := folder / _RECORDS).exists():
        for record in map(json.loads, file.read_text().splitlines()):
            yield Forgotten(datetime.fromisoformat(record["time"]), record["kind"], record["sha256"])


def forget(path: Path, kind: str, value: str, progress: Progress) -> dict[str, Any]:
    """Take every trace of a user, a conversation or an id out; return the record of it that is kept.

    Whoever owns the database calls this. If it is ended before its end, calling it again goes on.
    """
    with closing(Store(path)) as store:
        return index.finished(forgetting(Place(path, store), kind, value, progress))


def forgetting(place: Place, kind: str, value: str, progress: Progress) -> Job[dict[str, Any]]:
    """Do so with a database that is open, in steps.

    It is copied without them: what DuckDB deletes stays in its file for a while.
    """
    folder = journal_folder(place.path)
    if place.journal:
        place.journal.roll()
    index.catch_up(folder, place.store)
    yield
    with place.store.changing() as connection:
        asked = statement("statements/due_by_value").replace("$column", KINDS[kind])
        connection.execute(asked, {"value": value})
        names = {"value": value, "own": ATTRIBUTES[kind], "conversation": ATTRIBUTES["conversation"]}
        connection.execute(statement("statements/about_due"), names)
        for one in statement("statements/drop_what_is_about").split(";\n\n"):
            connection.execute(one)
    yield
    dropped = yield from drop(place, Rule(about=_about(place)), progress)
    for left in unfinished(place.path):
        left.unlink()
    for name in (".restoring",) if place.journal else (".restoring", ".copying"):
        database.remove(place.path.with_name(place.path.name + name))
    yield from compacting(place.path, place.store, always=True)
    failpoint.passing("forget.dropped")
    record: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="microseconds"),
        "kind": kind,
        "sha256": hashlib.sha256(value.encode()).hexdigest(),
        "traces": dropped.traces,
        "spans": dropped.spans,
        "log_records": dropped.log_records,
    }
    if dropped.undecodable:
        record["undecodable"] = dropped.undecodable
    with (folder / _RECORDS).open("a") as records:
        records.write(json.dumps(record) + "\n")
    return record


def _about(place: Place) -> dict[bytes, frozenset[bytes]]:
    found = place.asked("SELECT key, list(value) AS said FROM about GROUP BY key").to_pylist()
    return {row["key"].encode(): frozenset(map(str.encode, row["said"])) for row in found}


def others(path: Path) -> list[Path]:
    """Return the files beside a database that may hold what was forgotten: those that were put aside."""
    return sorted(path.parent.glob(f"{path.name}.quarantined-*")) + sorted(
        path.parent.glob(f"{path.name}.replaced-*")
    )
