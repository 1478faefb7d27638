"""``tupletrace export --parquet`` and ``import``: out by day, back into any database with equal answers."""

import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from tupletrace.processor import snapshot
from tupletrace.processor.forget import forget
from tupletrace.processor.jobs import alone
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.rebuild import rebuild
from tupletrace.processor.schema import StoreError, statement_names
from tupletrace.processor.transfer import Selection, bring, export

CORPORA = sorted((Path(__file__).parent / "corpora").glob("*.binpb"))
DAY = 86_400_000_000_000
EVALUATION = "gen_ai.evaluation.result"
EQUAL = (
    "SELECT * EXCLUDE (journal_seq) FROM spans",
    "SELECT * EXCLUDE (journal_seq) FROM log_records",
    "SELECT * EXCLUDE (journal_seq) FROM evaluation_results",
    "SELECT journal_seq, requests FROM lost_requests",
    *(
        f"FROM {view}"
        for view in (
            "traces",
            "llm_calls",
            "trace_layers",
            "usage_roles",
            "tuples",
            "tuple_coverage",
            "route_costs",
        )
    ),
    "SELECT * EXCLUDE (time) FROM evaluations",
)
"""What is the same in two databases with the same records, in whatever order they came."""


def silent(_done: int, _total: int) -> None:
    """Show nothing."""


def rows(path: Path, query: str) -> list[Any]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def different(one: Path, other: Path) -> dict[str, list[str]]:
    """What is in one of two databases alone, by the query that tells."""
    found = {query: [Counter(map(repr, rows(path, query))) for path in (one, other)] for query in EQUAL}
    return {query: sorted((a - b) + (b - a)) for query, (a, b) in found.items() if a != b}


def journalled(path: Path, *requests: tuple[str, bytes]) -> None:
    with closing(Journal(journal_folder(path))) as journal:
        for signal, body in requests:
            journal.append(signal, body).result(10)


def records(otlp: Any, *said: tuple[int, int, str, dict[str, Any]], at: int = 0) -> bytes:
    """Log records of (trace, span; 0: none), an event name, and attributes; ``body`` is the body."""
    made = [
        LogRecord(
            trace_id=trace.to_bytes(16) if trace else b"",
            span_id=span.to_bytes(8) if span else b"",
            time_unix_nano=otlp.noon + at + number,
            event_name=name,
            body=otlp.any_value(attributes.pop("body", None)),
            attributes=otlp.key_values(attributes),
        )
        for number, (trace, span, name, attributes) in enumerate(said)
    ]
    logs = ResourceLogs(scope_logs=[ScopeLogs(log_records=made)])
    return ExportLogsServiceRequest(resource_logs=[logs]).SerializeToString()


def odd(otlp: Any) -> bytes:
    """Spans with everything that OTLP allows, and some that it does not."""
    everything: dict[str, Any] = {
        "text": "a\tb\n\u00e9\u2603 'quoted' \"twice\" {}=[],",
        "empty": "",
        "none": None,
        "int": -(2**63),
        "double": 0.1,
        "nan": float("nan"),
        "infinite": float("-inf"),
        "yes": True,
        "bytes": b"\x00\xff",
        "list": ["a", 1, None, [True, {"k": 2.5}]],
        "map": {"nested": {"deeper": [1, "2"]}, "": "no name"},
        "": "no key",
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Hi?"}]}],
    }
    full = otlp.call(
        900,
        1,
        None,
        attributes=everything,
        kind=Span.SPAN_KIND_CLIENT,
        trace_state="vendor=1,other=2",
        flags=0x301,
        dropped_attributes_count=3,
        dropped_events_count=4,
        dropped_links_count=2**32 - 1,
        status=Status(code=Status.STATUS_CODE_ERROR, message="it failed: \u2603"),
        events=[
            Span.Event(time_unix_nano=otlp.noon, name="exception", attributes=otlp.key_values(everything)),
            Span.Event(name=""),
            Span.Event(
                time_unix_nano=otlp.noon + 5,
                name=EVALUATION,
                attributes=otlp.key_values(
                    {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.25}
                ),
            ),
        ],
        links=[
            Span.Link(
                trace_id=(7).to_bytes(16), span_id=(8).to_bytes(8), attributes=otlp.key_values({"a": 1})
            ),
            Span.Link(trace_id=b"", span_id=b"1"),
        ],
    )
    others = [
        otlp.span(900, 2, 1, name="", kind=17),
        otlp.span(900, 3, 1, start=0, end=0),
        otlp.span(900, 4, 1, start=2**63 - 1, end=2**64 - 1),
        otlp.span(900, 5, 1, start=otlp.noon, end=otlp.noon - 5),
        # One id, two spans.
        otlp.span(900, 2, 1, start=otlp.noon + 7),
    ]
    scope = InstrumentationScope(name="s", version="1", attributes=otlp.key_values(everything))
    resource = ResourceSpans(
        resource=Resource(attributes=otlp.key_values(everything | {"service.name": "odd"})),
        schema_url="https://opentelemetry.io/schemas/1.37.0",
        scope_spans=[
            ScopeSpans(scope=scope, spans=[full], schema_url="https://example.org/1"),
            ScopeSpans(spans=others),
        ],
    )
    bare = ResourceSpans(scope_spans=[ScopeSpans(spans=[otlp.span(901, 1)])])
    return ExportTraceServiceRequest(resource_spans=[resource, bare]).SerializeToString()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, otlp: Any) -> Path:
    """What ten vendors' libraries sent, odd spans, log records, evaluations of every kind, on three days."""
    path = tmp_path_factory.mktemp("source") / "x.duckdb"
    message = {"role": "user", "parts": [{"type": "text", "content": "Hello?"}]}
    told = records(
        otlp,
        (902, 1, "gen_ai.client.inference.operation.details", {"gen_ai.input.messages": [message]}),
        (902, 1, "gen_ai.user.message", {"body": {"content": "Hi"}, "odd": [1, {"a": None}]}),
    )
    judged = records(
        otlp,
        (902, 1, EVALUATION, {"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.label": "pass"}),
        (902, 0, EVALUATION, {"gen_ai.evaluation.name": "thumbs", "gen_ai.evaluation.score.value": 1}),
        (0, 0, EVALUATION, {"gen_ai.evaluation.name": "resolved", "gen_ai.conversation.id": "c1"}),
        (0, 0, EVALUATION, {"gen_ai.evaluation.name": "tone", "gen_ai.response.id": "r1"}),
        (0, 0, EVALUATION, {"gen_ai.evaluation.name": "tone", "gen_ai.response.id": "nobody's"}),
        at=DAY + 1_234,
    )
    annotated = {
        "annotations.0.annotation.name": "correct",
        "annotations.0.annotation.score": 0.5,
        "annotations.0.annotation.annotator_kind": "LLM",
    }
    call = otlp.call(902, 1, attributes={"gen_ai.response.id": "r1", "user.id": "ann", **annotated})
    days = [
        otlp.call(
            910 + number, 1, start=otlp.noon + number * DAY, attributes={"http.route": f"/{number % 2}"}
        )
        for number in range(3)
    ]
    journalled(
        path,
        *(("traces", file.read_bytes()) for file in CORPORA),
        ("logs", told),
        ("traces", otlp.request(call, *days)),
        ("logs", judged),
        ("traces", odd(otlp)),
    )
    snapshot.save(path, path.with_name("s.duckdb"), silent)
    return path


@pytest.fixture(scope="module")
def exported(source: Path) -> Path:
    folder = source.with_name("parquet")
    assert export(source, folder, Selection(), silent)["spans"] > 100
    return folder


@pytest.fixture(scope="module")
def back(source: Path, exported: Path) -> Path:
    """A fresh database into which the export was brought."""
    path = source.parent / "back" / "y.duckdb"
    brought = bring(exported, path, silent)
    assert all(new == found > 0 for new, found in brought.values()), brought
    return path


def test_what_comes_back_is_what_went_out(source: Path, back: Path) -> None:
    assert different(source, back) == {}
    assert [query for query in EQUAL if not rows(source, query)] == [
        "SELECT journal_seq, requests FROM lost_requests"
    ]


def test_it_is_brought_once(source: Path, exported: Path, back: Path) -> None:
    """Again, from the export and from a snapshot: nothing is new, nothing is journalled."""
    before = rows(back, "SELECT indexed_seq()")
    for other in (exported, source.with_name("s.duckdb")):
        assert {new for new, _ in bring(other, back, silent).values()} == {0}
    assert rows(back, "SELECT indexed_seq()") == before


def test_a_snapshot_is_brought_as_an_export_is(source: Path, tmp_path: Path) -> None:
    bring(source.with_name("s.duckdb"), tmp_path / "z.duckdb", silent)
    assert different(source, tmp_path / "z.duckdb") == {}


def test_what_was_brought_survives_a_rebuild(source: Path, back: Path) -> None:
    assert rebuild(back, silent)
    assert different(source, back) == {}


def test_a_database_that_has_its_own_keeps_it(
    otlp: Any, exported: Path, source: Path, tmp_path: Path
) -> None:
    """What is newer than the export stays, late spans of the same trace join it."""
    path = tmp_path / "x.duckdb"
    said = {"gen_ai.evaluation.name": "helpful", "tupletrace.evaluation.id": "e1"}
    evaluation_id = rows(source, "SELECT evaluation_id FROM evaluation_results WHERE name = 'helpful'")[0][0]
    newer = said | {"tupletrace.evaluation.id": evaluation_id, "gen_ai.evaluation.score.label": "fail"}
    journalled(
        path,
        ("traces", otlp.request(otlp.span(910, 2, parent=1), otlp.call(5000, 1))),
        ("logs", records(otlp, (902, 1, EVALUATION, newer), at=2 * DAY)),
    )
    brought = bring(exported, path, silent)
    new, found = brought["evaluations"]
    assert (new, brought["spans"][0]) == (found - 1, brought["spans"][1])
    assert rows(path, "SELECT score_label FROM evaluation_results WHERE name = 'helpful'") == [("fail",)]
    assert rows(path, "SELECT spans FROM traces WHERE trace_id LIKE '%38e'") == [(2,)]
    assert rows(path, "SELECT count(*) FROM traces") == [
        (rows(source, "SELECT count(*) FROM traces")[0][0] + 1,)
    ]


def test_files_are_by_day_in_types_that_every_engine_reads(source: Path, exported: Path) -> None:
    assert {folder.name for folder in exported.iterdir()} == set(statement_names("exports"))
    spans = f"read_parquet('{exported}/spans/**/*.parquet', hive_partitioning = true)"
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT day, count(*) FROM {spans} GROUP BY day ORDER BY day").fetchall()
        columns = connection.table_function("read_parquet", [f"{exported}/spans/**/*.parquet"]).columns
    assert found == rows(source, "SELECT day, count(*) FROM spans GROUP BY day ORDER BY day")
    assert set(columns) == {name for name, *_ in rows(source, "DESCRIBE spans")}
    files = [file for file in exported.rglob("*") if file.is_file()]
    assert {file.name for file in files} == {"part-0.parquet"}
    kinds: set[str] = set()
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        read = pq.ParquetFile(file)
        compressed = {
            read.metadata.row_group(0).column(i).compression for i in range(read.metadata.num_columns)
        }
        assert compressed == {"ZSTD"}
        kinds |= {str(field.type).split("<")[0].split("(")[0] for field in read.schema_arrow}
        kinds |= {str(field.type) for field in read.schema_arrow if "timestamp" in str(field.type)}
    assert kinds <= {
        "string", "int64", "bool", "double", "decimal128", "date32[day]", "map", "list", "struct",
        "timestamp", "timestamp[us, tz=UTC]",
    }  # fmt: skip


def test_days_and_routes_are_selected_and_a_day_is_replaced(source: Path, tmp_path: Path) -> None:
    wanted = Selection(since=date(2026, 1, 2), until=date(2026, 1, 3))
    assert export(source, tmp_path, wanted, silent)["traces"] == 1
    assert {path.name for path in tmp_path.glob("*/day=*")} == {"day=2026-01-02"}
    of_the_day = (tmp_path / "traces" / "day=2026-01-02" / "part-0.parquet").read_bytes()
    wanted = Selection(since=date(2026, 1, 1), until=date(2026, 1, 4), route="/1")
    assert export(source, tmp_path, wanted, silent)["spans"] == 1
    assert {path.name for path in tmp_path.glob("spans/day=*")} == {"day=2026-01-02"}
    assert (tmp_path / "traces" / "day=2026-01-02" / "part-0.parquet").read_bytes() == of_the_day
    assert not list(tmp_path.rglob(".*"))


def test_a_running_processor_gives_and_takes(
    start_processor: Callable[..., Any],
    tupletrace: Callable[..., Any],
    until: Callable[..., Any],
    exported: Path,
    source: Path,
    otlp: Any,
    tmp_path: Path,
) -> None:
    """By its own HTTP endpoint, in requests that it has room for, while others send."""
    running = start_processor(tmp_path / "x.duckdb", TUPLETRACE_MAX_OBJECTS="2000")
    done = threading.Event()
    sent: list[int] = []

    def load() -> None:
        while not done.is_set():
            assert running.post_traces(otlp.request(otlp.span(9000 + len(sent)))).status == 200
            sent.append(1)

    loading = threading.Thread(target=load)
    loading.start()
    try:
        imported = tupletrace("import", exported, "--db", running.database)
    finally:
        done.set()
        loading.join()
    assert imported.returncode == 0, imported.stderr
    count = rows(source, "SELECT count(*) FROM spans")[0][0]
    assert f"{count} of {count} spans are new" in imported.stdout
    until(lambda: running.sql("SELECT count(*) AS n FROM spans")[0]["n"] == count + len(sent))
    until(lambda: running.sql("SELECT bool_and(complete) AS all FROM traces")[0]["all"])
    written = tupletrace("export", "--parquet", tmp_path / "parquet", "--db", running.database)
    assert (written.returncode, f"{count + len(sent)} spans" in written.stdout) == (0, True), written.stderr
    running.stop()
    with duckdb.connect() as both:
        both.execute(f"ATTACH '{source}' AS a (READ_ONLY); ATTACH '{running.database}' AS b (READ_ONLY)")
        missing = both.execute(
            "SELECT * EXCLUDE (journal_seq) FROM a.spans EXCEPT SELECT * EXCLUDE (journal_seq) FROM b.spans"
        ).fetchall()
    assert missing == []


def test_what_was_forgotten_does_not_come_back(otlp: Any, tmp_path: Path) -> None:
    path, folder = tmp_path / "x.duckdb", tmp_path / "parquet"
    for trace, user in ((1, "ann"), (2, "bob")):
        journalled(path, ("traces", otlp.request(otlp.call(trace, 1, attributes={"user.id": user}))))
    export(path, folder, Selection(), silent)
    forget(path, "user", "ann", silent)
    assert bring(folder, path, silent)["spans"] == (0, 1)
    assert rows(path, "SELECT DISTINCT user_id FROM spans") == [("bob",)]


def test_what_has_lost_its_content_keeps_what_was_found_in_it(tmp_path: Path) -> None:
    path, folder = tmp_path / "x.duckdb", tmp_path / "parquet"
    journalled(path, *(("traces", file.read_bytes()) for file in CORPORA))
    snapshot.save(path, tmp_path / "s.duckdb", silent)
    alone(path, "retain", {"content": "0d"}, silent)
    export(path, folder, Selection(), silent)
    bring(folder, tmp_path / "y.duckdb", silent)
    assert different(path, tmp_path / "y.duckdb") == {}
    derived = "SELECT count(*) FROM spans WHERE prompt_provenance = 'derived' AND input_messages IS NULL"
    assert rows(tmp_path / "y.duckdb", derived)[0][0] > rows(tmp_path / "s.duckdb", derived)[0][0]


def test_a_damaged_file_of_an_export_is_named(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "lake")
    file, *_ = sorted((tmp_path / "lake" / "spans").rglob("*.parquet"))
    good = file.read_bytes()
    file.write_bytes(good[:4] + bytes(len(good) // 2) + good[4 + len(good) // 2 :])
    with pytest.raises(StoreError, match=f"{re.escape(str(file))} is damaged"):
        bring(tmp_path / "lake", tmp_path / "x.duckdb", silent)


def test_what_is_no_export_is_refused(source: Path, tupletrace: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database")
    (tmp_path / "other" / "spans").mkdir(parents=True)
    (tmp_path / "other" / "spans" / "x.parquet").write_text("no Parquet")
    (tmp_path / "empty").mkdir()
    for other in ("text", "other", "empty"):
        with pytest.raises(StoreError, match="neither an export nor a snapshot"):
            bring(tmp_path / other, tmp_path / "x.duckdb", silent)
    (tmp_path / "peer" / "spans").mkdir(parents=True)
    for columns, why in (
        ({"context.trace_id": ["1"], "name": ["x"]}, "no span_id, start_unix_nano, trace_id"),
        ({"trace_id": ["1"], "span_id": ["2"], "start_unix_nano": [None]}, "1 spans .* tells them apart"),
    ):
        pq.write_table(pa.table(columns), tmp_path / "peer" / "spans" / "x.parquet")
        with pytest.raises(StoreError, match=why):
            bring(tmp_path / "peer", tmp_path / "x.duckdb", silent)
    refused = tupletrace("export", "--parquet", tmp_path, "--db", source)
    assert (refused.returncode, "--overwrite" in refused.stderr) == (2, True)
    with pytest.raises(StoreError, match="no database"):
        export(tmp_path / "none.duckdb", tmp_path / "parquet", Selection(), silent)
