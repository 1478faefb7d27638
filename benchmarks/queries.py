"""How fast the dashboard's questions are answered, alone and while spans are being stored.

Fills a database through the store (nine-span agent traces of 30 days, 12 routes, 4 models, 6 versions of
3 prompts), or takes one that is there, and asks each question warm. ``--ingesting``: again while a thread
stores spans at half the rate at which the database was filled. Usage::

    uv run python benchmarks/queries.py [--spans 1000000] [--database FILE] [--rounds 20] [--ingesting]
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import floors
import numpy as np
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
TUPLES: Final = """
    SELECT tuple_id FROM traces WHERE route = '/route-3' GROUP BY ALL ORDER BY count(*) DESC, tuple_id LIMIT 2
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
    "compare two tuples": f"FROM trace_measures(of_route := '/route-3') WHERE tuple_id IN ({TUPLES})",
}


def tables(spans: int, seed: int = 1) -> Iterator[pa.Table]:
    """Yield what the store gets, ever new traces in batches of 32,768 spans, the oldest first."""
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
                base["start_unix_nano"], int((1 - number / count) * DAYS * 86_400e9)
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


def fill(store: Store, spans: int) -> float:
    """Store so many spans, and return how many a second."""
    began = time.monotonic()
    for number, table in enumerate(tables(spans), 1):
        store.insert(table, number)
        if number % 8 == 0:
            store.settle(0)
    store.settle(0)
    store.save()
    return spans / (time.monotonic() - began)


def ingest(store: Store, rate: float, stopping: threading.Event) -> None:
    """Store spans at a rate until told to stop."""
    began, first = time.monotonic(), store.journal_seq
    for number, table in enumerate(tables(10**9, seed=2), 1):
        seqs = pa.array(np.full(table.num_rows, first + number))
        place = table.column_names.index("journal_seq")
        store.insert(table.set_column(place, "journal_seq", seqs), first + number)
        store.settle(2_000)
        if stopping.wait(max(began + number * table.num_rows / rate - time.monotonic(), 0)):
            return


def ask(store: Store, rounds: int) -> dict[str, tuple[float, float, float]]:
    """Return p50, p95 and the least CPU of each question, in milliseconds."""
    with store.cursor() as cursor:
        ((trace,),) = cursor.execute("SELECT trace_id FROM traces USING SAMPLE 1 ROWS").fetchall()
    found: dict[str, tuple[float, float, float]] = {}
    for name, sql in QUESTIONS.items():
        times, cpu = list[float](), list[float]()
        for _ in range(rounds + 1):
            began, worked = time.perf_counter(), time.process_time()
            query.run(store.cursor(), sql, {"trace": trace} if "$trace" in sql else None)
            times.append((time.perf_counter() - began) * 1e3)
            cpu.append((time.process_time() - worked) * 1e3)
        # The first one warms up.
        warm = sorted(times[1:])
        found[name] = warm[len(warm) // 2], warm[int(len(warm) * 0.95)], min(cpu[1:])
    return found


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
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = asked.database or Path(folder) / "queries.duckdb"
        there = file.exists()
        store = Store(file)
        rate = 40_000.0 if there else fill(store, asked.spans)
        with store.cursor() as cursor:
            ((spans,),) = cursor.execute("SELECT count(*) FROM spans").fetchall()
        print(
            f"{spans:,} spans, {file.stat().st_size / spans:.0f} bytes each"
            + (f", {rate:,.0f}/s" if not there else "")
        )
        alone = ask(store, asked.rounds)
        print(f"{'ms, warm':28}{'p50':>10}{'p95':>10}{'CPU':>10}")
        for name, (p50, p95, cpu) in alone.items():
            print(f"{name:28}{p50:10,.1f}{p95:10,.1f}{cpu:10,.1f}", flush=True)
        if asked.ingesting:
            stopping = threading.Event()
            half = asked.rate or rate / 2
            thread = threading.Thread(target=ingest, args=(store, half, stopping))
            thread.start()
            busy = ask(store, asked.rounds)
            stopping.set()
            thread.join()
            print(f"{f'while storing {half:,.0f} spans/s':28}{'p50':>10}{'p95':>10}{'ratio':>10}")
            for name, (p50, p95, _) in busy.items():
                print(f"{name:28}{p50:10,.1f}{p95:10,.1f}{p50 / alone[name][0]:10.1f}")
        store.close()


if __name__ == "__main__":
    main()
