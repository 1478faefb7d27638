"""Arize Phoenix with as many spans as we have, and what its database says to the nearest of our questions.

It ingests some hundred spans a second; so the first ones are sent to it, and their rows then multiplied in
its SQLite database, with other ids, times, routes, models and prompt versions.
"""

import os
import socket
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import traces

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_SENT: Final = 2 * traces.SPANS_A_BATCH
_TIME: Final = "strftime('%Y-%m-%d %H:%M:%f000', {}, :seconds || ' seconds')"
_MULTIPLIED: Final = {
    "traces": {
        "id": "id + :offset",
        "trace_id": "printf('%08x', :copy) || substr(trace_id, 9)",
        "start_time": _TIME.format("start_time"),
        "end_time": _TIME.format("end_time"),
    },
    "spans": {
        "id": "id + :offset",
        "trace_rowid": "trace_rowid + :offset",
        "span_id": "printf('%08x', :copy) || substr(span_id, 9)",
        "parent_id": "printf('%08x', :copy) || substr(parent_id, 9)",
        "name": "CASE WHEN parent_id IS NULL THEN 'POST ' || :route ELSE name END",
        "start_time": _TIME.format("start_time"),
        "end_time": _TIME.format("end_time"),
        "attributes": (
            "replace(replace(attributes, 'gpt-4.1-mini', :model), 'template-0', 'template-' || :version)"
        ),
    },
    "span_costs": {
        "id": "id + :offset",
        "span_rowid": "span_rowid + :offset",
        "trace_rowid": "trace_rowid + :offset",
        "span_start_time": _TIME.format("span_start_time"),
    },
    "span_cost_details": {"id": "id + :offset", "span_cost_id": "span_cost_id + :offset"},
}
"""What differs in a copy of a row. Every table has fewer rows than there are spans: one offset is enough."""
_ROOT: Final = "JOIN spans AS root ON root.trace_rowid = of_trace.trace_rowid AND root.parent_id IS NULL"
_PROMPT: Final = "json_extract(spans.attributes, '$.gen_ai.prompt.name')"
_VERSION: Final = "json_extract(spans.attributes, '$.gen_ai.prompt.version')"
_MODEL: Final = "json_extract(spans.attributes, '$.llm.model_name')"
_COSTS: Final = (
    "(SELECT trace_rowid, sum(total_cost) AS cost FROM span_costs GROUP BY trace_rowid) AS of_trace"
)
_SECONDS: Final = "86400 * (julianday(root.end_time) - julianday(root.start_time))"
_TUPLES_OF_ROUTE: Final = f"""
    SELECT spans.trace_rowid, min({_MODEL}) AS model, min({_VERSION}) AS version
    FROM spans AS root
    JOIN spans ON spans.trace_rowid = root.trace_rowid AND spans.span_kind = 'LLM'
    WHERE root.parent_id IS NULL AND root.name = 'POST /route-3'
    GROUP BY spans.trace_rowid
"""
_MEASURED: Final = f"""
    SELECT root.trace_rowid, model, version, {_SECONDS} AS seconds, root.cumulative_error_count AS errors,
        root.cumulative_llm_token_count_prompt AS input_tokens,
        root.cumulative_llm_token_count_completion AS output_tokens,
        (SELECT sum(total_cost) FROM span_costs WHERE span_costs.trace_rowid = root.trace_rowid) AS cost
    FROM ({_TUPLES_OF_ROUTE}) AS of_trace {_ROOT}
"""
QUESTIONS: Final = {
    "coverage by route": (
        "SELECT root.name, avg(covered), count(*) FROM (SELECT trace_rowid, "
        f"min({_MODEL} IS NOT NULL AND {_VERSION} IS NOT NULL) AS covered FROM spans WHERE span_kind = 'LLM' "
        f"GROUP BY trace_rowid) AS of_trace {_ROOT} GROUP BY root.name"
    ),
    "cost per trace by route": (
        "SELECT root.name, count(*), sum(cost), avg(cost), max(cost) "
        f"FROM {_COSTS} {_ROOT} GROUP BY root.name"
    ),
    "cost per day and route": (
        "SELECT date(root.start_time) AS day, root.name, sum(cost), max(cost) "
        f"FROM {_COSTS} {_ROOT} GROUP BY 1, 2"
    ),
    "cost by prompt": (
        f"SELECT {_PROMPT} AS prompt, {_VERSION} AS version, count(*), sum(total_tokens), sum(total_cost) "
        "FROM spans JOIN span_costs ON span_costs.span_rowid = spans.id GROUP BY 1, 2"
    ),
    "version map": (
        f"SELECT root.name, {_MODEL} AS model, {_VERSION} AS version, min(spans.start_time), "
        "max(spans.start_time), count(DISTINCT root.trace_rowid) FROM spans "
        f"{_ROOT.replace('of_trace', 'spans')} WHERE spans.span_kind = 'LLM' GROUP BY 1, 2, 3"
    ),
    "last 100 traces": (
        "SELECT traces.*, root.*, (SELECT sum(total_cost) FROM span_costs WHERE trace_rowid = traces.id) "
        "FROM traces LEFT JOIN spans AS root ON root.trace_rowid = traces.id AND root.parent_id IS NULL "
        "WHERE traces.project_rowid = 1 ORDER BY traces.start_time DESC LIMIT 100"
    ),
    "one trace: its spans": (
        "SELECT spans.* FROM traces JOIN spans ON spans.trace_rowid = traces.id WHERE trace_id = :trace"
    ),
    "one trace: its row": (
        "SELECT traces.*, (SELECT sum(total_cost) FROM span_costs WHERE trace_rowid = traces.id) "
        "FROM traces WHERE trace_id = :trace"
    ),
    "one trace: its calls": (
        "SELECT spans.*, span_costs.* FROM traces JOIN span_costs ON span_costs.trace_rowid = traces.id "
        "JOIN spans ON spans.id = span_costs.span_rowid WHERE trace_id = :trace"
    ),
    "tuples of a route": (
        "SELECT model, version, count(*), avg(seconds), avg(errors > 0), avg(input_tokens), avg(cost) "
        f"FROM ({_MEASURED}) GROUP BY 1, 2"
    ),
    "compare two tuples": (
        f"WITH measured AS ({_MEASURED}) SELECT * FROM measured WHERE (model, version) IN "
        "(SELECT model, version FROM measured GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 2)"
    ),
}
REQUESTS: Final = {
    "last 100 traces": "/v1/projects/default/traces?limit=100",
    "one trace: its spans": "/v1/projects/default/spans?limit=100&trace_id={trace}",
}
"""The same of its REST API."""


@contextmanager
def serving(command: str, folder: Path) -> Generator[tuple[str, str]]:
    """Run Phoenix on a database in this folder; yield its gRPC address and its URL."""
    grpc_port, http_port = _free_port(), _free_port()
    said = {
        "PHOENIX_PORT": str(http_port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
    }
    silent = subprocess.DEVNULL
    process = subprocess.Popen([command, "serve"], env=os.environ | said, stdout=silent, stderr=silent)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            grpc.channel_ready_future(channel).result(600)
        yield f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{http_port}"
    finally:
        process.terminate()
        process.wait()


def wait_for(folder: Path, spans: int) -> None:
    """Wait until Phoenix has so many spans in its database."""
    with closing(_database(folder, "?mode=ro")) as database:
        while database.execute("SELECT count(*) FROM spans").fetchone()[0] < spans:
            time.sleep(0.05)


def fill(
    command: str, folder: Path, spans: int, days: int, routes: Sequence[str], models: Sequence[str]
) -> None:
    """Send some spans to Phoenix, and make them so many."""
    with serving(command, folder) as (address, _), grpc.insecure_channel(address) as channel:
        export = channel.unary_unary(EXPORT)
        for request in traces.batches(_SENT):
            export(request, timeout=60)
        wait_for(folder, _SENT)
    with closing(_database(folder)) as database:
        (first,) = database.execute("SELECT max(id) FROM spans").fetchone()
        indexes = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN "
            + str(tuple(_MULTIPLIED))
        ).fetchall()
        database.execute("PRAGMA synchronous = OFF")
        for name, _ in indexes:
            database.execute(f'DROP INDEX "{name}"')
        copies = -(-spans // first)
        for copy in range(1, copies):
            changed: dict[str, Any] = {
                "copy": copy,
                "first": first,
                "offset": copy * first,
                "seconds": -days * 86_400 * copy / copies,
                "route": routes[copy % len(routes)],
                "model": models[copy // len(routes) % len(models)],
                "version": str(copy * 6 // copies),
            }
            for table, other in _MULTIPLIED.items():
                columns = [str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")]
                values = ", ".join(other.get(column, column) for column in columns)
                database.execute(
                    f"INSERT INTO {table} SELECT {values} FROM {table} WHERE id <= :first", changed
                )
        for _, sql in indexes:
            database.execute(sql)
        database.execute("ANALYZE")
        database.commit()


def ask(folder: Path, rounds: int, most_seconds: float) -> dict[str, float]:
    """Return the p50 in ms of each question to its database, warm: of so many rounds, or of so long."""
    with closing(_database(folder, "?mode=ro")) as database:
        trace = _a_trace(database)

        def rows(sql: str) -> None:
            database.execute(sql, {"trace": trace}).fetchall()

        return {name: _p50(partial(rows, sql), rounds, most_seconds) for name, sql in QUESTIONS.items()}


def request(command: str, folder: Path, rounds: int, most_seconds: float) -> dict[str, float]:
    """Return the p50 of each question that its REST API answers, as ``ask`` does."""
    with closing(_database(folder, "?mode=ro")) as database:
        trace = _a_trace(database)
    with serving(command, folder) as (_, url):

        def body(path: str) -> None:
            with urllib.request.urlopen(url + path.format(trace=trace), timeout=300) as answer:
                answer.read()

        return {name: _p50(partial(body, path), rounds, most_seconds) for name, path in REQUESTS.items()}


def _a_trace(database: sqlite3.Connection) -> str:
    half = "SELECT trace_id FROM traces WHERE id >= (SELECT max(id) / 2 FROM traces) ORDER BY id LIMIT 1"
    ((trace,),) = database.execute(half)
    return trace


def _p50(ask: Callable[[], None], rounds: int, most_seconds: float) -> float:
    took = list[float]()
    began = time.perf_counter()
    while len(took) < 2 or (len(took) <= rounds and time.perf_counter() - began < most_seconds):
        started = time.perf_counter()
        ask()
        took.append((time.perf_counter() - started) * 1e3)
    # The first one warms up.
    warm = sorted(took[1:])
    return warm[len(warm) // 2]


def _database(folder: Path, how: str = "") -> sqlite3.Connection:
    return sqlite3.connect(f"file:{folder / 'phoenix.db'}{how}", uri=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
