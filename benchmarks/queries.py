"""How fast the dashboard's questions are answered, alone, while spans are being stored, and beside Phoenix.

Fills a database (nine-span agent traces of 30 days, 12 routes, 4 models, 6 versions of 3 prompts), or takes
one that is there, and asks each question warm. The first million spans go through the store; more are copies
of their rows, later and with other ids. ``--ingesting``: each question also while a thread stores spans at
half the rate at which those were stored. Nearly the same is asked of Phoenix, with as many spans (but see
``--phoenix-spans``), where it is installed in an environment of its own::

    python -m venv peer && peer/bin/pip install arize-phoenix
    uv run python benchmarks/queries.py --phoenix peer/bin/phoenix [--spans 10000000] [--ingesting]
"""

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import floors
import ingest
import numpy as np
import phoenix
import pyarrow as pa
import pyarrow.compute
import traces

from tupletrace.processor import query
from tupletrace.processor.store import Store

pc: Any = pyarrow.compute
DAYS: Final = 30
ROUTES: Final = [f"/route-{number}" for number in range(12)]
MODELS: Final = [
    ("openai", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
    ("openai", "gpt-4o", "gpt-4o-2024-08-06"),
    ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
    ("openai", "gpt-4.1", "gpt-4.1-2025-04-14"),
]
STORED: Final = 1_000_000
"""So many spans go through the store at most; copies of their rows take a tenth of the time."""
INGEST_SEED: Final = 255
INGESTING_S: Final = 5.0
"""So long is each question asked while spans are stored: they come in bursts."""
PHOENIX_S: Final = 10.0
OTHER_ID: Final = "left({0}, 24) || printf('%02x', $copy) || right({0}, 6)"
COPIED: Final = {
    "trace_id": OTHER_ID.format("trace_id"),
    "duplicate_of_trace_id": OTHER_ID.format("duplicate_of_trace_id"),
    "trace_bits": f"trace_bits({OTHER_ID.format('trace_id')})",
    "start_time": "start_time + to_microseconds($later // 1000)",
    "day": "CAST((start_time + to_microseconds($later // 1000)) AT TIME ZONE 'UTC' AS DATE)",
    "start_unix_nano": "start_unix_nano + $later",
    "end_unix_nano": "end_unix_nano + $later",
    "journal_seq": "journal_seq + $seqs",
    "first_seq": "first_seq + $seqs",
    "settled_seq": "settled_seq + $seqs",
}
"""What differs in the copy of a row."""
TUPLES: Final = """
    SELECT list(tuple_id ORDER BY traces DESC, tuple_id)[:2]
    FROM (SELECT tuple_id, count(*) AS traces FROM traces WHERE route = '/route-3' GROUP BY ALL) AS served
"""
QUESTIONS: Final = {
    "coverage by route": (
        "SELECT route, sum(covered) / sum(traces) AS coverage, sum(traces) AS traces "
        "FROM tuple_coverage GROUP BY route"
    ),
    "cost per trace by route": "FROM route_costs",
    "cost per day and route": (
        "SELECT day, route, sum(cost_usd) AS cost_usd, quantile_cont(cost_usd, 0.95) AS p95 "
        "FROM traces GROUP BY ALL"
    ),
    "cost by prompt": "FROM costs_by_prompt",
    "version map": "FROM version_map",
    "last 100 traces": "FROM traces ORDER BY start_time DESC LIMIT 100",
    "one trace: its spans": "FROM trace_spans($trace)",
    "one trace: its row": "FROM traces WHERE trace_id = $trace",
    "one trace: its calls": "FROM trace_calls($trace)",
    "tuples of a route": "FROM tuple_quality(of_route := '/route-3')",
    "compare two tuples": f"FROM trace_measures(of_route := '/route-3', of_tuples := ({TUPLES}))",
}


def tables(spans: int, seed: int = 0, days: float = DAYS) -> Iterator[pa.Table]:
    """Yield what the store gets, ever new traces in batches of 32,768 spans, the oldest first.

    They begin 30 days ago and are of so many days.
    """
    base = next(floors.tables(traces.batches(traces.SPANS_A_BATCH * traces.PATTERNS, seed), traces.PATTERNS))
    count = -(-spans // base.num_rows)
    ids = base["trace_id"].combine_chunks()
    trace = pc.index_in(ids, pc.unique(ids)).to_numpy()
    asked = pc.is_valid(base["request_model"].combine_chunks()).to_numpy(zero_copy_only=False)
    entry = pc.is_valid(base["http_route"])
    for number in range(count):
        model = pa.array((trace // len(ROUTES) + number) % len(MODELS), mask=~asked)
        route = pa.array(ROUTES).take(pa.array((trace + number) % len(ROUTES)))
        made = {
            "trace_id": pc.binary_replace_slice(ids, 24, 32, f"{seed:02x}{number:06x}"),
            "start_unix_nano": pc.subtract(
                base["start_unix_nano"], int((DAYS - number / count * days) * 86_400e9)
            ),
            "http_route": pc.if_else(entry, route, pa.scalar(None, pa.string())),
            "prompt_version": pc.binary_replace_slice(
                base["prompt_version"], 9, 10, str(number * 6 // count)
            ),
            "journal_seq": pa.array(np.full(base.num_rows, number + 1)),
        }
        for place, column in enumerate(("provider_name", "request_model", "response_model")):
            made[column] = pa.array([one[place] for one in MODELS]).take(model)
        table = base
        for column, values in made.items():
            table = table.set_column(table.column_names.index(column), column, values)
        yield table


def fill(file: Path, spans: int) -> float:
    """Make a database of so many spans, and return how many a second the store took."""
    copies = -(-spans // STORED)
    store = Store(file)
    began = time.monotonic()
    for number, table in enumerate(tables(spans // copies, days=DAYS / copies), 1):
        store.insert(table, number)
        if number % 8 == 0:
            store.settle(0)
    store.settle(0)
    rate = spans / copies / (time.monotonic() - began)
    seqs = store.journal_seq
    for copy in range(1, copies):
        later = {"copy": copy, "later": int(DAYS / copies * copy * 86_400e9), "seqs": copy * seqs}
        with store.changing() as connection:
            for table in ("spans", "settled_usage_roles", "settled_llm_calls", "settled_traces"):
                columns = connection.table(table).columns
                changed = ", ".join(
                    f"{value} AS {column}" for column, value in COPIED.items() if column in columns
                )
                seq = "journal_seq" if table == "spans" else "settled_seq"
                said = {key: value for key, value in later.items() if f"${key}" in changed}
                connection.execute(
                    f"INSERT INTO {table} SELECT * REPLACE ({changed}) FROM {table} WHERE {seq} <= {seqs}",
                    said,
                )
            for key in ("journal_seq", "quiet_seq"):
                connection.execute("UPDATE meta SET value = ? WHERE key = ?", [(copy + 1) * seqs, key])
        store.save()
    store.save()
    store.close()
    return rate


class Ingesting:
    """A thread that stores spans at a rate, while it is let."""

    def __init__(self, store: Store, rate: float) -> None:
        self._store, self._rate = store, rate
        self._let, self._ended = threading.Event(), False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        first = self._store.journal_seq
        due = time.monotonic()
        for number, table in enumerate(tables(10**9, INGEST_SEED), 1):
            self._let.wait()
            if self._ended:
                return
            seqs = pa.array(np.full(table.num_rows, first + number))
            place = table.column_names.index("journal_seq")
            self._store.insert(table.set_column(place, "journal_seq", seqs), first + number)
            self._store.settle(2_000)
            due = max(due, time.monotonic() - 1) + table.num_rows / self._rate
            time.sleep(max(due - time.monotonic(), 0))

    @contextmanager
    def going_on(self) -> Generator[None]:
        """Store spans meanwhile."""
        self._let.set()
        try:
            yield
        finally:
            self._let.clear()

    def end(self) -> None:
        """Store no more."""
        self._ended = True
        self._let.set()
        self._thread.join()


def measured(ask: Callable[[], object], rounds: int, seconds: float = 0) -> tuple[float, float, float]:
    """Return p50, p95 and the least CPU of a question in ms, warm: of so many rounds, and of so long."""
    times, cpu = list[float](), list[float]()
    start = time.perf_counter()
    while len(times) <= rounds or time.perf_counter() - start < seconds:
        began, worked = time.perf_counter(), time.process_time()
        ask()
        times.append((time.perf_counter() - began) * 1e3)
        cpu.append((time.process_time() - worked) * 1e3)
    # The first one warms up.
    warm = sorted(times[1:])
    return warm[len(warm) // 2], warm[int(len(warm) * 0.95)], min(cpu[1:])


def ask_store(file: Path, rounds: int, rate: float | None) -> dict[str, float]:
    """Ask every question, also while spans are stored at a rate; print and return the p50s."""
    store = Store(file)
    trace = a_trace(store)
    ingesting = Ingesting(store, rate) if rate else None
    heads = f"{'ms, warm':28}{'p50':>10}{'p95':>10}{'CPU':>10}"
    print(heads + (f"   storing {rate:7,.0f}/s{'p95':>10}{'ratio':>10}" if rate else ""))
    found: dict[str, float] = {}
    for name, sql in QUESTIONS.items():
        said = {"trace": trace} if "$trace" in sql else None

        def ask(sql: str = sql, said: Any = said) -> None:
            query.run(store.cursor(), sql, said)

        found[name], p95, cpu = measured(ask, rounds)
        line = f"{name:28}{found[name]:10,.1f}{p95:10,.1f}{cpu:10,.1f}"
        if ingesting:
            with ingesting.going_on():
                busy, p95, _ = measured(ask, rounds, INGESTING_S)
            line += f"{busy:20,.1f}{p95:10,.1f}{busy / found[name]:10.1f}"
        print(line, flush=True)
    if ingesting:
        ingesting.end()
    store.close()
    return found


def ask_processor(file: Path, rounds: int) -> dict[str, float]:
    """Ask a running processor over HTTP what Phoenix's API answers, and return the p50s."""
    store = Store(file)
    trace = a_trace(store)
    store.close()
    processor = ingest.Processor(file)
    found: dict[str, float] = {}
    for name in phoenix.REQUESTS:
        asked = {"sql": QUESTIONS[name], "params": {"trace": trace} if "$trace" in QUESTIONS[name] else []}

        def ask(asked: dict[str, Any] = asked) -> None:
            processor.ask(asked)

        found[name], _, _ = measured(ask, rounds)
    processor.stop()
    return found


def a_trace(store: Store) -> str:
    """Return the id of some trace."""
    with store.cursor() as cursor:
        ((trace,),) = cursor.execute("SELECT trace_id FROM traces USING SAMPLE 1 ROWS").fetchall()
    return trace


def ask_phoenix(command: str, spans: int, rounds: int, ours: dict[str, float], file: Path) -> None:
    """Ask Phoenix the nearest equivalents, and print how many times our time it takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phoenix.fill(command, folder, spans, DAYS, ROUTES, [model for _, model, _ in MODELS])
        theirs = phoenix.ask(folder, rounds, PHOENIX_S)
        requested = phoenix.request(command, folder, rounds, PHOENIX_S)
    print(f"{f'Phoenix with {spans:,} spans':36}{'p50':>10}{'ours':>10}{'ratio':>10}")
    for name, took in theirs.items():
        print(f"{name:36}{took:10,.1f}{ours[name]:10,.1f}{took / ours[name]:10.1f}")
    answered = ask_processor(file, rounds)
    for name, took in requested.items():
        shown = f"{name} (over HTTP)"
        print(f"{shown:36}{took:10,.1f}{answered[name]:10,.1f}{took / answered[name]:10.1f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--database", type=Path, help="a file to keep; filled if it is not there")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--ingesting", action="store_true", help="also while spans are being stored")
    parser.add_argument("--rate", type=float, help="spans/s meanwhile (half of those of the filling)")
    parser.add_argument("--phoenix", default=shutil.which("phoenix"), help="its command, if not on the PATH")
    parser.add_argument("--phoenix-spans", type=int, default=STORED, help=f"at most ({STORED:,})")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = asked.database or Path(folder) / "queries.duckdb"
        began = time.monotonic()
        rate = 40_000.0 if file.exists() else fill(file, asked.spans)
        print(f"{file.stat().st_size / 2**20:,.0f} MiB", end="; ")
        print(f"filled in {time.monotonic() - began:,.0f} s, {rate:,.0f} spans/s stored", flush=True)
        ours = ask_store(file, asked.rounds, (asked.rate or rate / 2) if asked.ingesting else None)
        if asked.phoenix:
            ask_phoenix(asked.phoenix, min(asked.spans, asked.phoenix_spans), asked.rounds, ours, file)
        else:
            print("Phoenix is not there to compare with: pip install arize-phoenix, and name it by --phoenix")


if __name__ == "__main__":
    main()
