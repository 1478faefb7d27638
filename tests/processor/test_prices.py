"""Cost is what genai-prices says for the same usage, model and moment, to the last digit; else it is NULL."""

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from tupletrace.processor.schema import statement

PRICED_HERE = {
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "output_reasoning_mtok",
    "requests_kcount",
}
SEMCONV = {
    "openai": "openai",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gcp.gemini": "google",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "aws.bedrock": "aws",
    "perplexity": "perplexity",
    "x_ai": "x-ai",
    "deepseek": "deepseek",
    "groq": "groq",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "vertex_ai": "google",
    "gemini": "google",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "xai": "x-ai",
}
"""Values of ``gen_ai.provider.name`` and of its predecessor ``gen_ai.system``: genai-prices' name."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    return open_database()


def nanoseconds(when: datetime) -> int:
    return (when - EPOCH) // timedelta(microseconds=1) * 1000


def all_prices(model: ModelInfo) -> list[ModelPrice]:
    if isinstance(model.prices, ModelPrice):
        return [model.prices]
    return [conditional.prices for conditional in model.prices]


def said_prices(model: ModelInfo) -> set[str]:
    return {key for prices in all_prices(model) for key, value in vars(prices).items() if value is not None}


def models(wanted: Callable[[ModelInfo], bool]) -> list[tuple[str, ModelInfo]]:
    """Models that answer to their own id, with their providers."""
    snapshot = get_snapshot()

    def found(provider: str, model: ModelInfo) -> bool:
        try:
            return snapshot.find_provider_model(model.id, None, provider, None)[1] is model
        except LookupError:
            return False

    pairs = [(provider.id, m) for provider in snapshot.providers for m in provider.models if wanted(m)]
    return [(provider, model) for provider, model in pairs if found(provider, model)]


class Call:
    """A call to be priced twice: by the store, and by genai-prices."""

    def __init__(
        self,
        provider: str,
        model: str,
        when: datetime,
        usage: dict[str, int],
        tier: str | None = None,
        semconv: str | None = None,
    ) -> None:
        self.provider, self.model, self.when, self.usage, self.tier = provider, model, when, usage, tier
        self.semconv = semconv or provider

    def span(self, otlp: Any, trace: int, number: int) -> Any:
        keys = {
            "input_tokens": "gen_ai.usage.input_tokens",
            "output_tokens": "gen_ai.usage.output_tokens",
            "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
            "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
            "output_reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
        }
        attributes: dict[str, Any] = {keys[key]: value for key, value in self.usage.items()}
        attributes |= {"gen_ai.provider.name": self.semconv, "gen_ai.request.model": "an-alias"}
        attributes |= {"gen_ai.response.model": self.model, "openai.response.service_tier": self.tier}
        return otlp.call(trace, number, usage=None, attributes=attributes, start=nanoseconds(self.when))

    @property
    def price(self) -> Decimal:
        return calc_price(
            Usage(**self.usage),
            self.model,
            provider_id=self.provider,
            genai_request_timestamp=self.when,
            price_context={"service_tier": self.tier} if self.tier else None,
        ).total_price

    def __repr__(self) -> str:
        return f"{self.semconv} {self.model} {self.when} {self.usage} {self.tier}"


class Prices:
    """Sends calls through OTLP bytes into the store, one trace a time."""

    traces = 0

    def __init__(self, database: Any, otlp: Any) -> None:
        self.database, self.otlp = database, otlp

    def stored(self, *calls: Call) -> list[dict[str, Any]]:
        """The ``llm_calls`` of these calls, in their order."""
        Prices.traces += 1
        spans = [call.span(self.otlp, Prices.traces, i) for i, call in enumerate(calls, 1)]
        self.database.insert(self.otlp.request(*spans))
        if Prices.traces % 2:
            self.database.store.settle(0)
        query = "SELECT * FROM llm_calls WHERE trace_id = ? ORDER BY span_id"
        rows = self.database.rows(query, [f"{Prices.traces:032x}"])
        assert [int(row["span_id"], 16) for row in rows] == list(range(1, len(calls) + 1))
        return rows

    def agree(self, *calls: Call) -> None:
        """Each call costs what genai-prices says, and the trace costs their exact sum."""
        rows = self.stored(*calls)
        for call, row in zip(calls, rows, strict=True):
            assert row["cost_usd"] == round(call.price, 12), call
            assert row["cost_status"] == "priced", call
            assert row["price_source"].startswith("genai-prices ")
        query = "SELECT * FROM traces WHERE trace_id = ?"
        trace = self.database.row(query, [rows[0]["trace_id"]])
        assert trace["cost_usd"] == sum(row["cost_usd"] for row in rows)
        assert trace["cost_status"] == "priced"
        assert trace["llm_calls"] == len(calls)


@pytest.fixture
def prices(database: Any, otlp: Any) -> Prices:
    return Prices(database, otlp)


def random_usage(chance: random.Random) -> dict[str, int]:
    top = chance.choice([10, 5_000, 150_000, 300_000, 1_000_000, 20_000_000])
    total = chance.randrange(top)
    read = chance.choice([None, 0, chance.randint(0, total)])
    write = chance.choice([None, 0, chance.randint(0, total - (read or 0))])
    output = chance.randrange(top)
    usage = {
        "input_tokens": total,
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "output_reasoning_tokens": chance.choice([None, 0, chance.randint(0, output)]),
    }
    return {key: value for key, value in usage.items() if value is not None}


SEEDS = -(-int(os.environ.get("TUPLETRACE_PRICE_CALLS", "600")) // 150)
"""10,000 random calls are many seconds: a few hundred in CI."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_cost_is_that_of_genai_prices_for_any_model_usage_date_and_tier(prices: Prices, seed: int) -> None:
    chance = random.Random(seed)
    known = models(
        lambda m: {"input_mtok", "output_mtok"} <= said_prices(m) <= PRICED_HERE | {"cache_write_1h_mtok"}
    )
    calls = []
    for _ in range(150):
        provider, model = chance.choice(known)
        when = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(5 * 365 * 86400))
        tier = chance.choice([None, None, "default", "priority", "flex", "fast", "auto", "unheard-of"])
        calls.append(Call(provider, model.id, when, random_usage(chance), tier))
    prices.agree(*calls)


def test_every_model_of_genai_prices_can_be_priced_to_the_last_digit(prices: Prices) -> None:
    """Some published prices have more decimals than money: 34 of them failed every batch that named them."""
    usage = {"input_tokens": 1_000_003, "output_tokens": 7, "cache_read_tokens": 3, "cache_write_tokens": 99}
    when = datetime(2026, 10, 1, 12, tzinfo=UTC)
    calls = [Call(provider, m.id, when, usage) for provider, m in models(lambda _: True)]
    rows = prices.stored(*calls)
    assert len(rows) > 2000
    for call, row in zip(calls, rows, strict=True):
        if row["cost_usd"] is not None:
            assert row["cost_usd"] == round(call.price, 12), call
        else:
            # Priced by the hour, the page or the picture: genai-prices says 0, which it does not cost.
            assert (row["cost_status"], call.price) == ("unpriced", 0), call


def test_prices_by_context_size_change_above_the_threshold(prices: Prices) -> None:
    def tiered(model: ModelInfo) -> bool:
        return any(isinstance(v, TieredPrices) for p in all_prices(model) for v in vars(p).values())

    when = datetime(2026, 10, 1, 12, tzinfo=UTC)
    calls, different = [], 0
    for provider, model in models(tiered):
        if not {"input_mtok", "output_mtok"} <= said_prices(model):
            continue
        values = [v for p in all_prices(model) for v in vars(p).values() if isinstance(v, TieredPrices)]
        for start in {tier.start for value in values for tier in value.tiers}:
            pair = [
                Call(provider, model.id, when, {"input_tokens": start + n, "output_tokens": 1000})
                for n in (0, 1)
            ]
            different += pair[1].price - pair[0].price > Decimal("0.001")
            calls += pair
    assert len(calls) > 50
    assert different > 20
    prices.agree(*calls)


def test_prices_by_the_time_of_day_and_from_a_date_change_at_that_moment(prices: Prices) -> None:
    calls = []
    usage = {"input_tokens": 1000, "output_tokens": 1000, "cache_read_tokens": 10}
    for provider, model in models(lambda m: isinstance(m.prices, list)):
        if not {"input_mtok", "output_mtok"} <= said_prices(model):
            continue
        assert isinstance(model.prices, list)
        for constraint in (conditional.constraint for conditional in model.prices):
            moments = []
            if isinstance(constraint, StartDateConstraint):
                moments = [datetime.combine(constraint.start_date, datetime.min.time(), UTC)]
            elif isinstance(constraint, TimeOfDateConstraint):
                day = datetime(2025, 6, 1, tzinfo=UTC)
                moments = [
                    datetime.combine(day, t, t.tzinfo or UTC).astimezone(UTC)
                    for t in (constraint.start_time, constraint.end_time)
                ]
            for moment in moments:
                steps = (timedelta(microseconds=-1), timedelta(0), timedelta(hours=1))
                calls += [Call(provider, model.id, moment + step, usage) for step in steps]
    assert len(calls) > 500
    prices.agree(*calls)


def test_every_provider_name_of_the_conventions_finds_its_prices(prices: Prices) -> None:
    """Azure is not OpenAI; ``ibm.watsonx.ai`` and ``_OTHER`` are not priced anywhere."""
    usage = {"input_tokens": 1234, "output_tokens": 567}
    when = datetime(2026, 10, 1, tzinfo=UTC)
    known = models(lambda m: {"input_mtok", "output_mtok"} <= said_prices(m))
    for semconv, provider in SEMCONV.items():
        usable = [model.id for owner, model in known if owner == provider][:5]
        assert usable
        prices.agree(*(Call(provider, name, when, usage, semconv=semconv) for name in usable))
    (row,) = prices.stored(Call("openai", "granite-3", when, usage, semconv="ibm.watsonx.ai"))
    assert (row["cost_usd"], row["cost_status"]) == (None, "unpriced")


def test_service_tiers_of_another_providers_model_are_as_genai_prices_has_them(prices: Prices) -> None:
    """Azure offers OpenAI's models at their list price, without OpenAI's tiers."""
    usage = {"input_tokens": 100_000, "output_tokens": 1000}
    when = datetime(2026, 10, 1, tzinfo=UTC)
    azure = {m.id for provider in get_snapshot().providers if provider.id == "azure" for m in provider.models}
    lent = [
        m.id
        for provider, m in models(lambda m: any("service_tier" in v.when for v in m.price_variants or ()))
        if provider == "openai" and m.id not in azure
    ]
    assert lent
    calls = [Call("azure", name, when, usage, "priority", "azure.ai.openai") for name in lent]
    prices.agree(*calls)


def test_an_unknown_model_is_unpriced_and_never_free(prices: Prices, database: Any) -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    usage = {"input_tokens": 1000, "output_tokens": 1000}
    rows = prices.stored(
        Call("openai", "gpt-4o", when, usage),
        Call("openai", "no-such-model", when, usage),
        Call("openai", "gpt-4o", when, usage, semconv="no-such-provider"),
    )
    assert [row["cost_status"] for row in rows] == ["priced", "unpriced", "unpriced"]
    assert [row["cost_usd"] for row in rows] == [Decimal("0.0125"), None, None]
    trace = database.row("SELECT * FROM traces WHERE trace_id = ?", [rows[0]["trace_id"]])
    assert (trace["cost_usd"], trace["cost_status"], trace["unpriced_calls"]) == (
        Decimal("0.0125"),
        "partly_priced",
        2,
    )
    (row,) = prices.stored(Call("openai", "no-such-model", when, usage))
    trace = database.row("SELECT * FROM traces WHERE trace_id = ?", [row["trace_id"]])
    assert (trace["cost_usd"], trace["cost_status"], trace["unpriced_calls"]) == (None, "unpriced", 1)


def test_a_call_without_usage_is_unpriced_and_a_call_of_nothing_costs_nothing(prices: Prices) -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    absent, zero, half = prices.stored(
        Call("openai", "gpt-4o", when, {}),
        Call("openai", "gpt-4o", when, {"input_tokens": 0, "output_tokens": 0}),
        Call("openai", "text-embedding-3-small", when, {"input_tokens": 1_000_000}),
    )
    assert (absent["cost_usd"], absent["cost_status"], absent["usage_status"]) == (None, "unpriced", "absent")
    assert (zero["cost_usd"], zero["cost_status"], zero["usage_status"]) == (0, "priced", "reported")
    assert (half["cost_usd"], half["cost_status"]) == (Decimal("0.02"), "priced")


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 11},
        {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 6, "cache_write_tokens": 5},
        {"input_tokens": 10, "output_tokens": 5, "output_reasoning_tokens": 6},
        {"output_tokens": 5, "cache_read_tokens": 1},
        {"input_tokens": 5, "output_reasoning_tokens": 1},
    ],
)
def test_parts_that_exceed_their_whole_are_inconsistent_and_unpriced(
    prices: Prices, usage: dict[str, int]
) -> None:
    (row,) = prices.stored(Call("openai", "gpt-4o", datetime(2026, 1, 1, tzinfo=UTC), usage))
    assert (row["cost_usd"], row["cost_status"], row["usage_status"]) == (None, "unpriced", "inconsistent")


def test_an_empty_name_is_no_name_and_counts_nothing_twice(prices: Prices, database: Any, otlp: Any) -> None:
    """A model met without provider, and with an empty one, has one price."""
    Prices.traces += 1
    nameless: dict[str, Any] = {"gen_ai.provider.name": None}
    empty = {"gen_ai.provider.name": "", "openai.response.service_tier": "", "gen_ai.response.model": ""}
    spans = [otlp.call(Prices.traces, 1, attributes=nameless), otlp.call(Prices.traces, 2, attributes=empty)]
    database.insert(otlp.request(*spans))
    query = "SELECT span_id, cost_usd FROM llm_calls WHERE trace_id = ? ORDER BY span_id"
    rows = database.rows(query, [f"{Prices.traces:032x}"])
    assert [row["cost_usd"] for row in rows] == [Decimal("0.000075")] * 2


def test_prices_are_looked_up_again_after_a_batch_that_failed(
    open_database: Callable[..., Any], otlp: Any
) -> None:
    database = open_database()
    body = otlp.request(otlp.call())
    with pytest.raises(duckdb.Error):
        database.store.insert(database.batch(body), "no number: fails at the last statement")
    database.insert(body)
    assert database.row("SELECT cost_usd FROM llm_calls")["cost_usd"] == Decimal("0.000075")


def test_prices_of_another_version_of_genai_prices_are_looked_up_again(
    open_database: Callable[..., Any], otlp: Any
) -> None:
    database = open_database()
    database.insert(otlp.request(otlp.call()))
    path = database.path
    connection = database.store._connection
    connection.execute("UPDATE price_book SET source = 'genai-prices 0.0.1', input_usd = 1")
    connection.execute("UPDATE meta SET value = 1 WHERE key = 'prices'")
    for one in statement("statements/recost").split(";\n\n"):
        connection.execute(one)
    assert database.row("SELECT cost_usd FROM llm_calls")["cost_usd"] > 10
    database.store.close()
    again = open_database(path)
    row = again.row("SELECT cost_usd, price_source FROM llm_calls")
    assert row["cost_usd"] == Decimal("0.000075")
    assert row["price_source"] != "genai-prices 0.0.1"
