"""What is delivered again changes nothing; what only looks the same is kept; no trace is too much."""

import random
from collections.abc import Callable
from typing import Any

import pytest

DAY = 86_400_000_000_000
COUNTED = "SELECT trace_id, spans, llm_calls, cost_usd FROM traces ORDER BY trace_id"


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    return open_database()


def test_a_span_is_stored_once_however_often_and_whenever_it_is_delivered(
    database: Any, otlp: Any, open_database: Callable[..., Any]
) -> None:
    """F15: twice in one batch, in two, after its trace settled, after a restart, a day late."""
    first, *rest = spans = [otlp.span(1, 1), otlp.call(1, 2, 1), otlp.call(1, 3, 1)]
    database.insert(otlp.request(first, *rest, *spans), otlp.request(*rest))
    expected = database.rows(COUNTED)
    assert [(row["spans"], row["llm_calls"]) for row in expected] == [(3, 2)]
    database.insert(otlp.request(*spans))
    assert database.rows(COUNTED) == expected
    database.store.settle(0)
    database.insert(otlp.request(*spans))
    database.store.settle(0)
    assert database.rows(COUNTED) == expected
    database.store.close()
    again = open_database(database.path)
    try:
        again.insert(otlp.request(*spans))
        again.insert(*(otlp.request(otlp.call(trace, start=otlp.noon + DAY)) for trace in range(10, 20)))
        again.insert(otlp.request(*spans, otlp.call(19, start=otlp.noon + DAY)))
        for when in ("while traces are open", "when they have settled"):
            assert again.rows(COUNTED)[:1] == expected, when
            assert len(again.rows("FROM spans")) == 3 + 10, when
            again.store.settle(0)
    finally:
        again.store.close()
        database.store = open_database(database.path).store


def test_equal_ids_with_another_start_are_kept_and_told_of(database: Any, otlp: Any) -> None:
    """F16: programs that call random.seed() use the same ids in every run."""
    runs = [otlp.call(30, 1, start=otlp.noon + run * DAY) for run in range(3)]
    database.insert(otlp.request(*runs[:2]))
    database.insert(otlp.request(*runs))
    (told,) = database.rows("FROM reused_ids")
    assert (told["trace_id"], told["span_id"], told["spans"]) == (f"{30:032x}", f"{1:016x}", 3)


def test_a_root_that_comes_a_day_late_leaves_what_it_would_have_left_in_time(
    database: Any, otlp: Any
) -> None:
    """F17."""
    late, usual = ([otlp.span(trace, 1, name="root"), otlp.call(trace, 2, 1)] for trace in (41, 42))
    database.insert(otlp.request(late[1], *usual))
    database.store.settle(0)
    for trace in range(50, 60):
        database.insert(otlp.request(otlp.call(trace, start=otlp.noon + DAY)))
    database.store.settle(0)
    database.insert(otlp.request(late[0]))
    database.store.settle(0)
    query = "SELECT * EXCLUDE (trace_id) FROM traces WHERE trace_id IN (?, ?)"
    first, second = database.rows(query, [f"{41:032x}", f"{42:032x}"])
    assert first == second
    assert first["complete"]


def test_a_trace_of_100_000_spans_10_000_deep_without_a_root_and_with_a_circle_settles(
    database: Any, otlp: Any
) -> None:
    """F18, F19: totals are the sums of its spans."""
    deep = [otlp.span(61, i, i + 1) for i in range(1, 10_000)]
    circle = [otlp.call(61, 10_001, 10_002), otlp.call(61, 10_002, 10_001)]
    wide = [otlp.span(61, i, 9_999) for i in range(10_003, 100_000)]
    calls = [otlp.call(61, i, i % 9_000 + 1) for i in range(100_000, 100_003)]
    database.insert(otlp.request(*deep, *circle, *wide, *calls))
    database.store.settle(0)
    found = database.row("FROM traces WHERE trace_id = ?", [f"{61:032x}"])
    spans = len(deep) + len(circle) + len(wide) + len(calls)
    assert (found["spans"], found["llm_calls"], found["complete"]) == (spans, 5, False)
    assert (found["input_tokens"], found["output_tokens"]) == (50, 25)


def tangle(chance: random.Random, otlp: Any, trace: int) -> list[Any]:
    """A few spans that may or may not describe one another's calls."""
    spans = [otlp.span(trace, 1, None, name="root", start=otlp.noon, end=otlp.noon + 90_000_000)]
    spans = spans if chance.random() < 0.8 else []
    for number in range(2, 2 + chance.randrange(1, 6)):
        start = otlp.noon + chance.randrange(60) * 1_000_000
        fields = {
            "name": chance.choice("ab"),
            "start": start,
            "end": start + chance.randrange(40) * 1_000_000,
        }
        parent = chance.choice([None, 1, 1, chance.randrange(1, number)])
        if chance.random() < 0.2:
            attributes = {"gen_ai.operation.name": chance.choice(["retrieval", "fetch_response"])}
            spans.append(otlp.span(trace, number, parent, attributes, **fields))
            continue
        attributes = {"gen_ai.response.id": chance.choice([None, None, "r1", f"r{number}"])}
        usage = chance.choice([None, (10, 5), (10, 5), (trace, number)])
        spans.append(otlp.call(trace, number, parent, usage, attributes, **fields))
    return spans


def test_what_is_spared_the_counting_of_calls_needs_none(database: Any, otlp: Any) -> None:
    """Settling counts only in traces that may need it: counting in all of them says the same."""
    chance = random.Random(7)
    bodies = [otlp.request(*tangle(chance, otlp, trace)) for trace in range(1000, 1300)]
    database.insert(*bodies)
    everything = """
        WITH members AS MATERIALIZED (FROM spans_of('settled_traces')),
        calls AS MATERIALIZED (FROM call_spans_of('members')),
        lost_parents AS MATERIALIZED (FROM lost_parents_of('calls')),
        ancestors AS MATERIALIZED (FROM ancestors_of('members', 'settled_traces'))
    """
    (said,) = database.rows(
        f"{everything} SELECT count(DISTINCT trace_id) AS tangled FROM tangled_of('members', 'lost_parents')"
    )
    assert 0 < said["tangled"] < 300
    roles = database.rows("FROM usage_roles ORDER BY trace_id, span_id, start_unix_nano")
    assert {row["usage_role"] for row in roles} == {"leaf", "duplicate", "rollup"}
    counted = (
        "FROM usage_roles_of('members', 'settled_traces', 'lost_parents', 'ancestors') "
        "ORDER BY trace_id, span_id, start_unix_nano"
    )
    assert database.rows(f"{everything} {counted}") == roles
