"""``tupletrace forget``: what is forgotten is in no file any more, and the rest is as it was."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from tupletrace.processor.ask import database
from tupletrace.processor.forget import forget
from tupletrace.processor.journal import Journal, journal_folder, read
from tupletrace.processor.snapshot import forget as forget_in
from tupletrace.processor.snapshot import save

COUNT = "SELECT count(DISTINCT trace_id) AS traces, count(*) AS spans FROM spans"


def silent(_done: int, _total: int) -> None:
    """Show nothing."""


@pytest.fixture
def db(tmp_path: Path, otlp: Any) -> Path:
    """Six traces of two spans by two users; the secret of one user is in every place that has text."""
    path = tmp_path / "x.duckdb"
    written = Journal(journal_folder(path))
    for trace in range(1, 7):
        user = "ann" if trace % 2 else "bob"
        said = {"user.id": user, "note": f"secret of {user} " * 50, "gen_ai.conversation.id": f"c{trace}"}
        spans = [
            otlp.call(trace, 1, attributes=said),
            otlp.span(trace, 2, parent=1, name=f"secret of {user}"),
        ]
        written.append(
            "traces", otlp.request(*spans, *([otlp.span(90 + trace)] if trace > 3 else []))
        ).result(120)
    written.close()
    with database(path) as answer:
        assert answer(COUNT).to_pylist() == [{"traces": 9, "spans": 15}]
    return path


def holding(folder: Path, text: bytes) -> list[str]:
    return [file.name for file in folder.rglob("*") if file.is_file() and text in file.read_bytes()]


def test_no_file_holds_what_was_forgotten_and_nothing_else_is_gone(db: Path) -> None:
    assert holding(db.parent, b"secret of ann")
    record = None
    for _ in range(2):
        record = forget(db, "user", "ann", silent)
        assert not holding(db.parent, b"secret of ann")
        assert not holding(db.parent, b'"ann"')
    with database(db) as answer:
        assert answer(COUNT).to_pylist() == [{"traces": 6, "spans": 9}]
        assert answer("SELECT * FROM lost_requests").to_pylist() == []
        assert answer("SELECT DISTINCT user_id FROM spans WHERE user_id IS NOT NULL").to_pylist() == [
            {"user_id": "bob"}
        ]
    first, second = map(json.loads, (journal_folder(db) / "forgotten.jsonl").read_text().splitlines())
    assert (first["kind"], first["traces"], first["spans"]) == ("user", 3, 6)
    assert second == record
    assert second["traces"] == 0


def test_a_name_that_is_written_as_sql_is_a_name(db: Path) -> None:
    """F34: nobody has it, so nothing is forgotten."""
    for name in ("' OR '1'='1", "%", "$value"):
        assert forget(db, "user", name, silent)["traces"] == 0
    with database(db) as answer:
        assert answer(COUNT).to_pylist() == [{"traces": 9, "spans": 15}]


def test_what_comes_after_has_new_numbers_and_is_kept(db: Path, otlp: Any) -> None:
    forget(db, "conversation", "c6", silent)
    more = Journal(journal_folder(db))
    assert more.append("traces", otlp.request(otlp.span(50))).result(120) == 7
    more.close()
    with database(db) as answer:
        assert answer(COUNT).to_pylist() == [{"traces": 9, "spans": 14}]


def test_the_command_warns_of_the_files_that_it_does_not_look_into(
    db: Path, tupletrace: Callable[..., Any]
) -> None:
    done = tupletrace("forget", "--trace", f"{2:032x}", "--db", db)
    assert (done.returncode, "1 traces with 2 spans" in done.stdout) == (0, True), done.stderr
    aside = db.with_name("x.duckdb.quarantined-1")
    aside.touch()
    done = tupletrace("forget", "--trace", f"{4:032x}", "--db", db)
    assert (done.returncode, f"tupletrace: {aside} is not looked into" in done.stderr) == (0, True), done


def test_what_tells_of_somebody_without_a_trace_goes_too_and_that_of_others_stays(
    db: Path, otlp: Any, tmp_path: Path
) -> None:
    """Data points, records by themselves, and what is said of a conversation of which no trace is left."""

    def record(user: str, event: str, **attributes: str) -> LogRecord:
        said = {key.replace("__", "."): value for key, value in attributes.items()}
        said["gen_ai.evaluation.explanation"] = f"record of {user}"
        return LogRecord(time_unix_nano=otlp.noon, event_name=event, attributes=otlp.key_values(said))

    records = [
        record(user, event, **said)
        for user, conversation in (("ann", "c1"), ("bob", "c2"))
        for event, said in (
            (
                "gen_ai.evaluation.result",
                {"gen_ai__conversation__id": conversation, "gen_ai__evaluation__name": "e"},
            ),
            ("gen_ai.client.inference.operation.details", {"langfuse__user__id": user}),
            ("of the program's own", {"user__id": user}),
        )
    ]
    points = [
        NumberDataPoint(as_int=1, attributes=otlp.key_values({"user.id": user, "said": f"point of {user}"}))
        for user in ("ann", "bob")
    ]
    points[1].exemplars.add(trace_id=(1).to_bytes(16), filtered_attributes=otlp.key_values({"a": "exemplar"}))
    metrics = ScopeMetrics(metrics=[Metric(name="uses", sum=Sum(data_points=points))])
    logs = ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])
    with closing(Journal(journal_folder(db))) as journal:
        journal.append("logs", ExportLogsServiceRequest(resource_logs=[logs]).SerializeToString()).result()
        request = ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(scope_metrics=[metrics])])
        journal.append("metrics", request.SerializeToString()).result()
    save(db, tmp_path / "s.duckdb", silent)
    forget(db, "user", "ann", silent)
    forget_in(tmp_path / "s.duckdb", "user", "ann")
    kept = b"".join(one.body for step in read(journal_folder(db), 0, 2**30) for one in step)
    assert not [said for said in (b"record of ann", b"point of ann", b"exemplar", b"ann") if said in kept]
    assert (kept.count(b"record of bob"), kept.count(b"point of bob")) == (3, 1)
    asked = "SELECT explanation FROM evaluation_results UNION ALL SELECT attributes::VARCHAR FROM log_records"
    for file in (db, tmp_path / "s.duckdb"):
        with duckdb.connect(str(file), read_only=True) as answer:
            said = [row for (row,) in answer.execute(asked).fetchall()]
        assert ["bob" in one for one in said] == [True, True], said


def test_what_killed_processes_have_left_beside_the_database_goes_too(db: Path) -> None:
    """Rows that DuckDB put on disk to sort them, copies that were being made."""
    files = ("restoring", "restoring.compacting-1", "copying", "rebuilding-1", "compacting-1")
    folders = ("tmp", "compacting-1.tmp", "rebuilding-2.tmp", "restoring.tmp")
    for name in files:
        db.with_name(f"{db.name}.{name}").write_text("secret of ann")
    for name in folders:
        (db.with_name(f"{db.name}.{name}") / "rows").mkdir(parents=True)
        (db.with_name(f"{db.name}.{name}") / "rows" / "1").write_text("secret of ann")
    forget(db, "user", "ann", silent)
    assert not holding(db.parent, b"secret of ann")
    assert {one.name for one in db.parent.iterdir()} <= {"x.duckdb", "x.duckdb.journal", "x.duckdb.lock"}
