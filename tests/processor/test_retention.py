"""Retention: what was said goes after its age, what it cost stays; nothing dropped comes back."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tupletrace.processor import content, decode, index, journal, journal_file, snapshot
from tupletrace.processor.dropping import Place
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.normalise import canonical
from tupletrace.processor.rebuild import rebuild
from tupletrace.processor.retention import Clock, Policy, retaining, sizes
from tupletrace.processor.schema import statement
from tupletrace.processor.store import Store

DAY = 86_400_000_000_000
WEEK_S = 7 * 86_400.0
NOW = time.time_ns()
SECRET = "sesame"
ANSWERS = {
    "costs": "SELECT trace_id, cost_usd, cost_status FROM traces ORDER BY ALL",
    "calls": "FROM llm_calls ORDER BY ALL",
    "tuples": "FROM tuples ORDER BY ALL",
    "coverage": "FROM tuple_coverage ORDER BY ALL",
    "evaluations": "SELECT * EXCLUDE (explanation) FROM evaluations ORDER BY ALL",
    "rows": "SELECT * EXCLUDE (attributes, events, status_message, input_hash, conflicts, input_messages,"
    " output_messages, system_instructions, tool_definitions, prompt_template) FROM spans ORDER BY ALL",
}
"""What must be the same whether content is there or not."""
KILLED = """
import sys
from pathlib import Path
from tupletrace.processor import failpoint, jobs
path, content, stage = sys.argv[1:]
failpoint.arm(stage, 1)
jobs.alone(Path(path), "retain", {"content": content}, lambda done, total: None)
"""


def silent(_done: int, _total: int) -> None:
    """Show nothing."""


def said(text: str) -> str:
    """Messages as the conventions have them."""
    return json.dumps(
        [
            {"role": role, "parts": [{"type": "text", "content": f"{role} {text}"}]}
            for role in ("system", "user")
        ]
    )


class Kept:
    """A database, its journal and its files, between whose uses nobody has it open."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "x.duckdb"

    def write(self, *requests: tuple[str, bytes]) -> None:
        """Write a file of the journal."""
        with closing(Journal(journal_folder(self.path))) as written:
            for done in [written.append(signal, body) for signal, body in requests]:
                done.result(120)
            written.roll()

    @contextmanager
    def opened(self) -> Generator[Store]:
        """The database, with everything indexed and settled."""
        with closing(Store(self.path)) as store:
            index.catch_up(journal_folder(self.path), store)
            store.settle(0)
            yield store

    def retain(self, policy: Policy) -> dict[str, Any]:
        with self.opened() as store:
            return index.finished(retaining(Place(self.path, store), policy, silent))

    def killed(self, content: str, stage: str) -> None:
        """Drop content of an age in a process that is killed at a stage."""
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, self.path, content, stage], timeout=150, check=False
        )
        assert ended.returncode == -signal.SIGKILL

    def ask(self, *queries: str) -> list[list[Any]]:
        with self.opened() as store, store.cursor() as cursor:
            return [cursor.execute(query).fetchall() for query in queries]

    def answers(self) -> dict[str, list[Any]]:
        return dict(zip(ANSWERS, self.ask(*ANSWERS.values()), strict=True))

    def rebuild(self) -> None:
        if kept := rebuild(self.path, silent):
            kept.unlink()

    def requests(self) -> list[journal_file.Request]:
        files = journal.files(journal_folder(self.path))
        return [request for file in files for request in journal_file.requests(file, -1)]

    def holding(self, text: str) -> list[str]:
        """Where a text is found: in which requests, tables and files."""
        found = [f"request {one.seq}" for one in self.requests() if text.encode() in one.body]
        tables = ("spans", "log_records", "evaluation_results")
        rows = self.ask(*(f"SELECT CAST({table} AS VARCHAR) FROM {table}" for table in tables))
        found += [
            table for table, texts in zip(tables, rows, strict=True) if any(text in one for (one,) in texts)
        ]
        files = [file for file in self.path.parent.rglob("*") if file.is_file()]
        return found + [file.name for file in files if text.encode() in file.read_bytes()]


def trace(otlp: Any, number: int, started: int, secret: str = SECRET) -> list[tuple[str, bytes]]:
    """One trace of an agent, told in several dialects, with its log records and evaluations; by requests."""
    text = f"{secret} {number}"
    plain = {"gen_ai.prompt.name": None, "gen_ai.prompt.version": None}
    adk = {
        "contents": [{"role": "user", "parts": [{"text": text}]}],
        "model": "gemini-2.5-flash",
        "config": {"system_instruction": f"Be brief about {secret}."},
    }
    answered = {
        "content": {"parts": [{"text": text}], "role": "model"},
        "usage_metadata": {"prompt_token_count": 7, "candidates_token_count": 3, "total_token_count": 10},
    }
    at = iter(range(started, started + DAY, 1_000_000))
    spans = [
        otlp.span(
            number,
            1,
            None,
            {"http.route": "/ask", "app.tenant": "acme", "note": f"{text}\n" * 9},
            start=next(at),
        ),
        otlp.call(
            number,
            2,
            1,
            attributes={
                **plain,
                "gen_ai.input.messages": said(text),
                "gen_ai.output.messages": said(text),
                "gen_ai.tool.definitions": json.dumps(
                    [{"type": "function", "name": "find", "description": text}]
                ),
                "user.id": "ann",
                "gen_ai.response.id": f"r{number}",
            },
            start=next(at),
        ),
        # The same response again, to another question: two calls.
        otlp.call(
            number,
            3,
            1,
            attributes={
                **plain,
                "gen_ai.input.messages": said(f"more {text}"),
                "gen_ai.response.id": f"r{number}",
            },
            start=next(at),
        ),
        otlp.span(
            number,
            4,
            1,
            {
                "gcp.vertex.agent.llm_request": json.dumps(adk),
                "gcp.vertex.agent.llm_response": json.dumps(answered),
            },
            name="call_llm",
            start=next(at),
        ),
        otlp.span(
            number,
            5,
            1,
            {
                "openinference.span.kind": "LLM",
                "llm.model_name": "gpt-4o",
                "llm.token_count.prompt": 11,
                "llm.token_count.completion": 4,
                "llm.input_messages.0.message.role": "system",
                "llm.input_messages.0.message.content": f"Known: {secret}.",
                "llm.prompt_template.template": "Tell {who} of " + secret,
                "llm.invocation_parameters": '{"model": "gpt-4o"}',
            },
            start=next(at),
        ),
        otlp.span(
            number,
            6,
            1,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "find",
                "gen_ai.tool.call.arguments": secret,
                "gen_ai.tool.call.result": {"found": [text]},
            },
            start=next(at),
        ),
        otlp.call(number, 7, 1, attributes=plain, start=(judged := next(at))),
        otlp.call(number, 8, 1, usage=("many", 5), start=next(at)),
    ]
    failed = spans[5].events.add(name="exception", time_unix_nano=judged)
    failed.attributes.extend(otlp.key_values({"exception.type": "KeyError", "exception.message": text}))
    spans[5].status.code, spans[5].status.message = 2, text
    verdict = spans[1].events.add(name="gen_ai.evaluation.result", time_unix_nano=judged)
    verdict.attributes.extend(
        otlp.key_values(
            {
                "gen_ai.evaluation.name": "kind",
                "gen_ai.evaluation.score.label": "quite kind",
                "gen_ai.evaluation.explanation": text,
            }
        )
    )
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    for name, attributes in (
        ("gen_ai.client.inference.operation.details", {"gen_ai.input.messages": said(text)}),
        (
            "gen_ai.evaluation.result",
            {
                "gen_ai.evaluation.name": "grounded",
                "gen_ai.evaluation.score.value": 0.75,
                "gen_ai.evaluation.explanation": text,
            },
        ),
        ("app.log", {"said": text}),
    ):
        record = records.add(
            trace_id=number.to_bytes(16), span_id=(7).to_bytes(8), time_unix_nano=judged, event_name=name
        )
        record.attributes.extend(otlp.key_values(attributes))
    of_all = records.add(time_unix_nano=judged, event_name="gen_ai.evaluation.result")
    of_all.attributes.extend(
        otlp.key_values(
            {
                "gen_ai.evaluation.name": "helpful",
                "gen_ai.evaluation.score.value": 1,
                "gen_ai.evaluation.explanation": text,
                "gen_ai.conversation.id": f"c{number}",
            }
        )
    )
    return [("traces", otlp.request(*spans)), ("logs", logs.SerializeToString())]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, otlp: Any) -> Kept:
    """An old trace and a young one."""
    made = Kept(tmp_path_factory.mktemp("retention"))
    made.write(*trace(otlp, 1, NOW - 10 * DAY))
    made.write(*trace(otlp, 2, NOW - DAY, "abracadabra"))
    return made


@pytest.fixture
def copied(filled: Kept, tmp_path: Path) -> Kept:
    """A journal of an old and a young trace of which nothing was dropped yet."""
    made = Kept(tmp_path)
    for file in journal.files(journal_folder(filled.path)):
        made.write(*((one.signal, one.body) for one in journal_file.requests(file, -1)))
    return made


def test_content_goes_from_every_place_and_what_it_cost_and_was_made_of_stays(copied: Kept) -> None:
    before = copied.answers()
    assert len(before["calls"]) == 12
    asked = (
        "SELECT input_messages, attributes FROM spans WHERE trace_id LIKE '%2' ORDER BY ALL",
        "SELECT count(*) FROM spans WHERE attributes['app.tenant'] = 'acme'",
    )
    young = copied.ask(*asked)
    answer = copied.retain(Policy(content_s=WEEK_S))
    assert [(one["what"], one["traces"]) for one in answer["dropped"]] == [("content", 1)]
    for _ in range(2):
        assert copied.holding(SECRET) == []
        assert copied.answers() == before
        assert copied.ask(*asked) == young
        copied.rebuild()
    with closing(Store(copied.path)) as store, store.changing() as connection:
        connection.execute(statement("statements/open_every_trace"))
        for table in ("traces", "layers", "llm_calls", "usage_roles"):
            connection.execute(f"DELETE FROM settled_{table}")
    assert copied.answers() == before
    assert copied.retain(Policy(content_s=WEEK_S))["dropped"] == []


def test_spans_go_from_every_place_with_all_that_hangs_on_them(copied: Kept) -> None:
    first, *_ = journal.files(journal_folder(copied.path))
    answer = copied.retain(Policy(spans_s=WEEK_S))
    assert not first.exists()
    assert [(one["what"], one["traces"], one["spans"]) for one in answer["dropped"]] == [("spans", 1, 8)]
    (tables,) = copied.ask(
        "SELECT table_name FROM duckdb_columns() JOIN duckdb_tables() USING (database_name, table_name) "
        "WHERE column_name = 'trace_id' AND database_name = current_database()"
    )
    assert {("spans",), ("settled_traces",), ("evaluation_results",)} <= set(tables)
    for _ in range(2):
        assert copied.holding(SECRET) == []
        left = copied.ask(*(f"SELECT 1 FROM {table} WHERE trace_id LIKE '%1'" for (table,) in tables))
        assert left == [[]] * len(tables)
        assert copied.ask("SELECT count(*) FROM spans", "FROM lost_requests") == [[(8,)], []]
        copied.rebuild()


def test_a_snapshot_of_before_brings_nothing_back_when_it_is_restored(
    copied: Kept, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("elsewhere") / "s.duckdb"
    snapshot.save(copied.path, file, silent)
    for policy in (Policy(content_s=WEEK_S), Policy(spans_s=WEEK_S)):
        copied.retain(policy)
        dropped = copied.answers(), copied.ask("SELECT count(*) FROM spans")
        kept, _ = snapshot.restore(copied.path, file, silent)
        assert kept
        kept.unlink()
        assert copied.holding(SECRET) == []
        assert (copied.answers(), copied.ask("SELECT count(*) FROM spans")) == dropped


@pytest.mark.parametrize(
    "stage", ["drop.journal", "drop.database", "compact.copied", "database.replacing", "database.replaced"]
)
def test_killed_at_any_stage_it_is_harmless_and_is_done_another_time(copied: Kept, stage: str) -> None:
    before = copied.answers()
    copied.killed("7d", stage)
    if stage == "drop.database":
        copied.rebuild()
    assert copied.answers() == before
    copied.retain(Policy(content_s=WEEK_S))
    assert copied.holding(SECRET) == []
    assert copied.answers() == before


def test_what_is_delivered_again_or_late_goes_too_and_what_is_young_beside_it_stays_as_it_came(
    copied: Kept, otlp: Any
) -> None:
    old, young = trace(otlp, 1, NOW - 10 * DAY), otlp.request(otlp.call(3, 1, start=NOW - DAY))
    mixed = (
        "traces",
        young + otlp.request(otlp.call(4, 1, attributes={"input.value": SECRET}, start=NOW - 9 * DAY)),
    )
    copied.write(*old, mixed)
    policy = Policy(content_s=WEEK_S)
    assert [one["traces"] for one in copied.retain(policy)["dropped"]] == [2]
    assert copied.holding(SECRET) == []
    assert any(one.body.startswith(young) for one in copied.requests())
    before = copied.answers()
    copied.write(
        ("traces", otlp.request(otlp.call(1, 9, 1, attributes={"input.value": SECRET}, start=NOW - 10 * DAY)))
    )
    assert len(copied.answers()["calls"]) == len(before["calls"]) + 1
    assert copied.holding(SECRET)
    assert [one["spans"] for one in copied.retain(policy)["dropped"]] == [1]
    assert copied.holding(SECRET) == []
    copied.rebuild()
    assert len(copied.answers()["calls"]) == len(before["calls"]) + 1


def test_a_clock_of_a_client_that_is_not_set_or_ahead_ages_nothing_before_its_time(
    copied: Kept, otlp: Any
) -> None:
    """F13, F14: then the time of the receipt counts."""
    fresh = "which came just now"
    clocks = {5: 0, 6: 3600 * 10**9, 7: NOW + 36_500 * DAY, 8: NOW}
    spans = [
        otlp.call(number, 1, attributes={"input.value": fresh}, start=start, end=max(start - DAY, 0))
        for number, start in clocks.items()
    ]
    copied.write(("traces", otlp.request(*spans)), ("traces", otlp.request(*spans)))
    asked = "SELECT count(*) FROM spans WHERE attributes['input.value'] = 'which came just now'"
    policy = Policy(content_s=WEEK_S, spans_s=2 * WEEK_S)
    for _ in range(2):
        copied.retain(policy)
        assert copied.ask(asked) == [[(4,)]]
    for file in journal.files(journal_folder(copied.path)):
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(f"UPDATE requests SET received_unix_nano = received_unix_nano - {8 * DAY}")
    copied.retain(policy)
    assert copied.holding(fresh) == []
    assert copied.ask("SELECT count(*) FROM spans WHERE journal_seq > 0 AND start_time < '2019-01-01'") == [
        [(2,)]
    ]


def test_a_clock_that_jumps_ahead_makes_nothing_old_until_a_day_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F13: by 70 years; one that is set back is followed."""
    said = {"wall": 1_800_000_000.0, "running": 500.0}
    monkeypatch.setattr(time, "time", lambda: said["wall"])
    monkeypatch.setattr(time, "clock_gettime", lambda _: said["running"])
    clock = Clock()

    def later(seconds: float, jump: float = 0) -> float:
        said["running"] += seconds
        said["wall"] += seconds + jump
        return clock.now() - 1_800_000_000

    assert later(60) == 60
    assert later(60, jump=70 * 365 * 86_400) == 120
    assert later(80_000) == 80_120
    assert later(60, jump=-70 * 365 * 86_400) == 80_180
    assert later(60, jump=-7_200) == 73_040
    assert later(60, jump=7_200) == 73_100
    assert later(86_400) == 80_300 + 86_400
    assert caplog.text.count("the clock has jumped ahead") == 2


def test_by_size_the_oldest_goes_first_and_content_before_spans(tmp_path: Path, otlp: Any) -> None:
    made, chance = Kept(tmp_path), random.Random(7)
    for number in range(1, 13):
        text = said(chance.randbytes(250_000).hex())
        call = otlp.call(
            number, 1, attributes={"gen_ai.input.messages": text}, start=NOW - (40 - number) * DAY
        )
        made.write(("traces", otlp.request(call)))
    costs = "SELECT count(*), sum(cost_usd) FROM llm_calls"
    whole = made.ask(costs)
    used = sum(sizes(made.path).values())
    answer = made.retain(Policy(size_bytes=used * 2 // 3))
    assert answer["database_bytes"] + answer["journal_bytes"] <= used * 2 // 3
    assert {what: answer[what] for what in sizes(made.path)} == sizes(made.path)
    assert {(one["what"], one["because"]) for one in answer["dropped"]} == {("content", "size")}
    kept = [has for (has,) in made.ask("SELECT input_messages IS NOT NULL FROM spans ORDER BY start_time")[0]]
    assert kept == sorted(kept)
    assert 2 < sum(kept) < 11
    assert made.ask(costs) == whole
    answer = made.retain(Policy(size_bytes=used // 100))
    assert {one["what"] for one in answer["dropped"]} == {"content", "spans"}
    assert made.ask("SELECT count(*) FROM spans") == [[(0,)]]
    records = (journal_folder(made.path) / "dropped.jsonl").read_text().splitlines()
    assert sum(json.loads(one)["spans"] for one in records if json.loads(one)["what"] == "spans") == 12


def test_a_processor_drops_what_its_settings_say_beside_receiving(
    start_processor: Callable[..., Any], otlp: Any, until: Any, tmp_path: Path
) -> None:
    """F42."""
    made = Kept(tmp_path)
    gone = {"what": "content", "because": "age"}
    running = start_processor(made.path, TUPLETRACE_KEEP_CONTENT="3s", TUPLETRACE_KEEP_SPANS="60d")
    for number in (1, 2):
        for _, body in trace(otlp, number, NOW - 10 * DAY)[:1]:
            assert running.post_traces(body).status == 200
        until(lambda number=number: running.metric("tupletrace_dropped_spans_total", **gone) >= 5 * number)
        assert running.sql("SELECT count(*) AS n FROM spans WHERE input_messages IS NOT NULL") == [{"n": 0}]
    assert running.metric("tupletrace_spans_since_timestamp_seconds") == (NOW - 10 * DAY) // 1000 / 1e6
    assert running.metric("tupletrace_content_since_timestamp_seconds") > NOW / 1e9 - 60
    assert running.metric("tupletrace_journal_bytes") > 0
    until(lambda: SECRET.encode() not in made.path.read_bytes())
    assert running.stop() == ""
    assert made.holding(SECRET) == []
    assert made.ask("SELECT count(*), count(cost_usd) FROM llm_calls") == [[(12, 10)]]


RECORDED = sorted((Path(__file__).parent / "corpora").glob("*.binpb"))


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_no_text_of_a_message_is_left_in_what_libraries_really_sent(file: Path) -> None:
    spans = canonical(decode.spans([file.read_bytes()]))
    texts = set[str]()
    for column in ("input_messages", "output_messages"):
        for messages in map(json.loads, filter(None, spans[column].to_pylist())):
            parts = [part for message in messages for part in message["parts"]]
            texts |= {part["content"] for part in parts if isinstance(part.get("content"), str)}
    texts = {text for text in texts if " " in text}
    assert texts
    left, had = content.without(spans)
    assert had.any()
    assert [text for text in texts if text in str(left.to_pylist())] == []
    costly = {"dialect", "input_tokens", "output_tokens", "prompt_version", "response_model"}
    assert left.select(costly).equals(spans.select(costly))
