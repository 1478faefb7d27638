"""``costs_by_*``: each of the twelve groupings against what was sent, priced call by call, summed by hand."""

import random
from collections import defaultdict
from collections.abc import Callable, Hashable
from datetime import UTC, date, datetime
from decimal import Decimal
from statistics import median
from typing import Any

import pytest
from genai_prices import Usage, calc_price

DAY = 86_400_000_000_000
MODELS = ("gpt-4o", "gpt-4o-mini", "no-such-model")
NAMES = {
    "agent_name": "gen_ai.agent.name",
    "agent_step": "agent.trajectory.step",
    "conversation_id": "gen_ai.conversation.id",
    "user_id": "user.id",
    "prompt_version": "gen_ai.prompt.version",
    "tools_version": "tupletrace.tools.version",
}
Said = dict[str, Any]


def made(chance: random.Random, number: int) -> Said:
    """One call: what groups it, what it used, what its vendor says it cost."""
    tokens = chance.randrange(1, 100_000)
    agent = chance.choice(["guide", "clerk", None])
    return {
        "trace": number // 3,
        "route": ("/a", "/b", "/c")[number // 3 % 3],
        "day": number // 30,
        "model": chance.choice(MODELS),
        "agent_name": agent,
        "agent_step": chance.choice([1, 2] if agent else [1, 2, None]),
        "conversation_id": chance.choice(["c1", "c2", None]),
        "user_id": chance.choice(["u1", "u2", None]),
        "prompt_version": chance.choice(["3", "4"]),
        "tools_version": chance.choice(["t1", None]),
        "tags": chance.choice([["red"], ["red", "blue"], None]),
        "usage": chance.choice([None, *[(tokens, chance.randrange(tokens), chance.randrange(9_999))] * 4]),
        "reported": chance.choice([None, "0.5"]),
    }


CALLS = [made(random.Random(number), number) for number in range(90)]
SPENT = (
    "llm_calls",
    "input_tokens",
    "cache_read_tokens",
    "output_tokens",
    "cost_usd",
    "cache_savings_usd",
    "reported_cost_usd",
    "above_reported_usd",
    "unpriced_calls",
    "calls_without_usage",
    "estimated_cost_usd",
    "estimated_calls",
)


def cost(said: Said, cached: bool = True) -> Decimal | None:
    """What genai-prices says, or would if nothing had been cached."""
    if said["usage"] is None or said["model"] == "no-such-model":
        return None
    tokens, read, answered = said["usage"]
    used = Usage(input_tokens=tokens, cache_read_tokens=read if cached else None, output_tokens=answered)
    when = datetime(2026, 1, 1 + said["day"], 12, tzinfo=UTC)
    return calc_price(used, said["model"], provider_id="openai", genai_request_timestamp=when).total_price


def total(found: list[Any]) -> Any:
    known = [one for one in found if one is not None]
    return sum(known) if known else None


def less(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one - other


def spent(calls: list[Said]) -> tuple[Any, ...]:
    """What a group of calls spent, as ``SPENT`` names it."""
    used = [said["usage"] or (None, None, None) for said in calls]
    costs = [cost(said) for said in calls]
    reported = [said["reported"] and Decimal(said["reported"]) for said in calls]
    return (
        len(calls),
        *(total([one[kind] for one in used]) for kind in range(3)),
        total(costs),
        total([less(cost(said, cached=False), cost(said)) for said in calls]),
        total(reported),
        total([less(ours, theirs) for ours, theirs in zip(costs, reported, strict=True)]),
        costs.count(None),
        sum(said["usage"] is None for said in calls),
        None,
        0,
    )


GROUPS: dict[str, tuple[tuple[str, ...], Callable[[Said], Hashable]]] = {
    "agent": (("agent_name",), lambda said: said["agent_name"]),
    "conversation": (("conversation_id",), lambda said: said["conversation_id"]),
    "day": (("day",), lambda said: date(2026, 1, 1 + said["day"])),
    "loop": (("trace_id", "agent_name"), lambda said: (f"{said['trace'] + 1:032x}", said["agent_name"])),
    "model": (("model",), lambda said: said["model"]),
    "prompt": (("prompt_name", "prompt_version"), lambda said: ("answer", said["prompt_version"])),
    "route": (("route",), lambda said: said["route"]),
    "step": (("agent_name", "agent_step"), lambda said: (said["agent_name"], said["agent_step"])),
    "trace": (("trace_id",), lambda said: f"{said['trace'] + 1:032x}"),
    "user": (("user_id",), lambda said: said["user_id"]),
}


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any], otlp: Any) -> Any:
    found = open_database()
    spans = [
        otlp.span(trace, 99, None, {"http.route": ("/a", "/b", "/c")[(trace - 1) % 3]}, start=otlp.noon)
        for trace in range(1, 31)
    ]
    for number, said in enumerate(CALLS, 1):
        attributes = {key: said[name] for name, key in NAMES.items()}
        attributes |= {"gen_ai.request.model": said["model"], "operation.cost": said["reported"]}
        attributes |= {"tupletrace.tags": said["tags"], "pydantic_ai.x": "1"}
        if said["usage"]:
            attributes["gen_ai.usage.cache_read.input_tokens"] = said["usage"][1]
        usage = said["usage"] and (said["usage"][0], said["usage"][2])
        start = otlp.noon + said["day"] * DAY + number
        spans.append(otlp.call(said["trace"] + 1, number, 99, usage, attributes, start=start))
    found.insert(otlp.request(*spans))
    found.store.settle(0)
    return found


def by_hand(grouping: str) -> dict[Hashable, tuple[Any, ...]]:
    groups: dict[Hashable, list[Said]] = defaultdict(list)
    for said in CALLS:
        if grouping == "tag":
            for tag in said["tags"] or [None]:
                groups[tag].append(said)
        elif grouping != "loop" or said["tools_version"]:
            groups[GROUPS[grouping][1](said)].append(said)
    return {key: spent(calls) for key, calls in groups.items()}


@pytest.mark.parametrize("grouping", [*GROUPS, "tag"])
def test_every_grouping_sums_what_its_calls_spent(database: Any, grouping: str) -> None:
    keys = GROUPS[grouping][0] if grouping in GROUPS else ("tag",)
    rows = database.rows(f"FROM costs_by_{grouping}")
    found = {
        row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys): tuple(row[one] for one in SPENT)
        for row in rows
    }
    assert len(found) == len(rows)
    assert found == by_hand(grouping)
    if grouping not in ("day", "step"):
        known = [row["cost_usd"] for row in rows if row["cost_usd"] is not None]
        assert known == sorted(known, reverse=True), "the dearest first"


def test_a_tuples_cost_is_that_of_the_traces_that_it_served(database: Any) -> None:
    served = {row["trace_id"]: row["tuple_id"] for row in database.rows("FROM traces")}
    groups: dict[str, list[Said]] = defaultdict(list)
    for said in CALLS:
        groups[served[f"{said['trace'] + 1:032x}"]].append(said)
    found = {
        row["tuple_id"]: tuple(row[one] for one in SPENT) for row in database.rows("FROM costs_by_tuple")
    }
    assert found == {key: spent(calls) for key, calls in groups.items()}
    assert len(found) > 3


def test_a_route_has_its_cost_a_trace(database: Any) -> None:
    traces = defaultdict[int, list[Decimal | None]](list)
    for said in CALLS:
        traces[said["trace"]].append(cost(said))
    for row in database.rows("FROM costs_by_route"):
        own = [total(costs) for trace, costs in traces.items() if "abc"[trace % 3] == row["route"][1]]
        assert row["traces"] == len(own)
        known = [one for one in own if one is not None]
        assert abs(row["cost_per_trace_usd"] - sum(known) / len(known)) < Decimal("1e-9")
        assert abs(row["p50"] - median(known)) < Decimal("1e-9")
