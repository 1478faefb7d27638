"""``tupletrace forget``: traces taken out of the journal and the database, until no byte of them is left."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from tupletrace.processor import failpoint, index
from tupletrace.processor.compact import compacting
from tupletrace.processor.database import statement
from tupletrace.processor.dropping import Place, drop
from tupletrace.processor.index import Job
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.rebuild import Progress, unfinished
from tupletrace.processor.store import Store
from tupletrace.processor.strip import Rule

KINDS: Final = {"user": "user_id", "conversation": "conversation_id", "trace": "trace_id"}
"""What may be forgotten: the column of ``spans`` in which it stands."""
_ATTRIBUTES: Final = {"user": b"user.id", "conversation": b"gen_ai.conversation.id"}
"""By which a log record says whose it is."""
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
        if kind == "conversation":
            connection.execute("DELETE FROM evaluation_results WHERE conversation_id = ?", [value])
    yield
    about = (_ATTRIBUTES[kind], value.encode()) if kind in _ATTRIBUTES else None
    dropped = yield from drop(place, Rule(about=about), progress)
    for left in unfinished(place.path):
        left.unlink()
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


def others(path: Path) -> list[Path]:
    """Return the files beside a database that may hold what was forgotten: those that were put aside."""
    return sorted(path.parent.glob(f"{path.name}.quarantined-*")) + sorted(
        path.parent.glob(f"{path.name}.replaced-*")
    )
