"""``tupletrace forget``: traces taken out of the journal and the database, until no byte of them is left."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tupletrace.processor import database, index, journal, journal_file, wire
from tupletrace.processor.database import StoreError, statement
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.journal_file import Request
from tupletrace.processor.rebuild import Progress, rebuild, unfinished
from tupletrace.processor.store import Store

KINDS: Final = {"user": "user_id", "conversation": "conversation_id", "trace": "trace_id"}
"""What may be forgotten: the column of ``spans`` in which it stands."""
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

    Whoever owns the database calls this. The database is made again from the journal that is left: what
    DuckDB deletes stays in its file for a while. If it is ended before its end, calling it again goes on.

    Raises:
        StoreError: the journal does not hold everything that the database does, or cannot be read.
    """
    folder = journal_folder(path)
    with closing(Store(path)) as store:
        index.catch_up(folder, store)
        with store.cursor() as cursor:
            asked = statement("statements/traces_with_value").replace("$column", KINDS[kind])
            found = {bytes.fromhex(trace) for (trace,) in cursor.execute(asked, [value]).fetchall()}
            ((first,),) = cursor.execute("SELECT min(journal_seq) FROM spans").fetchall()
    if found and ((kept := journal.first_seq(folder)) is None or kept > first):
        raise StoreError(
            f"the journal begins at request {kept}, the database at {first}: it cannot be made again whole; "
            "nothing is changed"
        )
    record: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kind": kind,
        "sha256": hashlib.sha256(value.encode()).hexdigest(),
        "traces": len(found),
        "spans": 0,
        "log_records": 0,
    }
    if found:
        for file in journal.files(folder):
            for _ in journal_file.rewriting(
                file,
                journal_file.COMPRESSED,
                lambda requests: [_without(one, found, record) for one in requests],
            ):
                pass
        # An attempt to rebuild that was ended may hold them.
        database.remove(unfinished(path))
        old = rebuild(path, progress)
        if old is not None:
            database.remove(old)
    with (folder / _RECORDS).open("a") as records:
        records.write(json.dumps(record) + "\n")
    return record


def others(path: Path) -> list[Path]:
    """Return the files beside a database that may hold what was forgotten: those that were put aside."""
    return sorted(path.parent.glob(f"{path.name}.quarantined-*")) + sorted(
        path.parent.glob(f"{path.name}.replaced-*")
    )


def _without(request: Request, traces: set[bytes], record: dict[str, Any]) -> Request:
    try:
        if request.signal == wire.TRACES:
            return _without_spans(request, traces, record)
        if request.signal == wire.LOGS:
            return _without_logs(request, traces, record)
    except DecodeError:
        if any(trace in request.body for trace in traces):
            record["undecodable"] = record.get("undecodable", 0) + 1
            # Text that is not UTF-8 somewhere in it: whole requests go rather than stay.
            return replace(request, body=b"")
    return request


def _without_spans(request: Request, traces: set[bytes], record: dict[str, Any]) -> Request:
    if not any(trace in request.body for trace in traces):
        return request
    message = ExportTraceServiceRequest.FromString(request.body)
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            kept = [span for span in scope.spans if span.trace_id not in traces]
            record["spans"] += len(scope.spans) - len(kept)
            del scope.spans[:]
            scope.spans.extend(kept)
    return replace(request, body=message.SerializeToString())


def _without_logs(request: Request, traces: set[bytes], record: dict[str, Any]) -> Request:
    if not any(trace in request.body for trace in traces):
        return request
    message = ExportLogsServiceRequest.FromString(request.body)
    for resource in message.resource_logs:
        for scope in resource.scope_logs:
            kept = [one for one in scope.log_records if one.trace_id not in traces]
            record["log_records"] += len(scope.log_records) - len(kept)
            del scope.log_records[:]
            scope.log_records.extend(kept)
    return replace(request, body=message.SerializeToString())
