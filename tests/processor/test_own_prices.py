"""The user's own prices count before the published ones, for what they are for and when they are valid."""

import json
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor.schema import StoreError

DAY = 86_400_000_000_000


@pytest.fixture
def costs(
    tmp_path: Path, otlp: Any, open_database: Callable[..., Any], monkeypatch: Any
) -> Callable[..., Any]:
    """Write a file of prices, store calls of (attributes, start), and return their rows in order."""

    def cost(toml: str, *calls: tuple[dict[str, Any], int]) -> list[dict[str, Any]]:
        file = tmp_path / "prices.toml"
        file.write_text(toml)
        monkeypatch.setenv("TUPLETRACE_PRICES", str(file))
        database = open_database()
        spans = [
            otlp.call(i, 1, usage=(1_000_000, 1_000_000), attributes=said, start=start)
            for i, (said, start) in enumerate(calls, 1)
        ]
        database.insert(otlp.request(*spans))
        return database.rows("SELECT * FROM llm_calls ORDER BY trace_id")

    return cost


def usd(rows: list[dict[str, Any]]) -> list[Decimal | None]:
    return [row["cost_usd"] for row in rows]


LLAMA = {"gen_ai.request.model": "llama-3-70b", "gen_ai.provider.name": "vllm"}


def test_a_model_of_ones_own_has_the_price_that_one_says(costs: Any, otlp: Any) -> None:
    rows = costs('[[price]]\nmodel = "llama-*"\ninput = 0.25\noutput = 1', (LLAMA, otlp.noon))
    assert usd(rows) == [Decimal("1.25")]
    assert rows[0]["cost_status"] == "priced"
    assert rows[0]["price_source"].endswith("prices.toml")


def test_prices_per_request_second_and_image_need_no_tokens(costs: Any, otlp: Any) -> None:
    toml = '[[price]]\nmodel = "llama-*"\nrequest = 0.5\nsecond = 2000'
    nothing = LLAMA | {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    rows = costs(toml, (nothing, otlp.noon))
    assert (usd(rows), rows[0]["usage_status"]) == ([Decimal("2.5")], "absent"), "1 ms at 2000 USD a second"


def test_every_unit_is_priced_to_the_last_digit(costs: Any, otlp: Any) -> None:
    """An image is one that was made: as many as were asked for, none where the call failed."""
    toml = '[[price]]\nmodel = "llama-*"\nimage = 0.0421\nsecond = 0.000123456789\nrequest = 0.07'
    nothing = LLAMA | {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    said = [
        nothing | {"gen_ai.output.type": "image"},
        nothing | {"gen_ai.output.type": "image", "gen_ai.request.choice.count": 3},
        nothing | {"gen_ai.output.type": "text", "gen_ai.request.choice.count": 3},
    ]
    each = Decimal("0.07") + Decimal("0.000123456789") / 1000
    rows = costs(toml, *((one, otlp.noon) for one in said))
    assert usd(rows) == [round(each + Decimal("0.0421") * images, 12) for images in (1, 3, 0)]


def test_a_price_is_valid_from_and_to_a_day_and_the_published_one_beside_it(costs: Any, otlp: Any) -> None:
    toml = '[[price]]\nmodel = "gpt-4o"\nfrom = 2026-01-02\nto = 2026-01-03\ninput = 1\noutput = 1'
    rows = costs(toml, *(({}, otlp.noon + days * DAY) for days in range(3)))
    assert usd(rows) == [Decimal("12.5"), 2, Decimal("12.5")]
    assert [row["price_source"].startswith("genai-prices") for row in rows] == [True, False, True]


def test_a_price_is_for_a_route_a_provider_and_a_tier(costs: Any, otlp: Any) -> None:
    toml = """
        [[price]]
        model = "gpt-4o"
        route = "/chat/*"
        input = 1
        output = 0
        [[price]]
        model = "gpt-4o"
        service_tier = "batch"
        input = 2
        output = 0
        [[price]]
        provider = "azure.*"
        model = "gpt-4o"
        input = 3
        output = 0
    """
    said = [
        {"tupletrace.route": "/chat/a"},
        {"tupletrace.route": "/other"},
        {"openai.response.service_tier": "batch"},
        {"gen_ai.provider.name": "azure.ai.openai"},
    ]
    rows = costs(toml, *((one, otlp.noon) for one in said))
    assert usd(rows) == [1, Decimal("12.5"), 2, 3]


def test_tokens_of_a_kind_without_a_price_are_billed_as_what_they_are_part_of(costs: Any, otlp: Any) -> None:
    toml = '[[price]]\nmodel = "llama-*"\ninput = 10\noutput = 10\n'
    toml += "cache_read = 1\naudio_input = 20\naudio_output = 40"
    kinds = {
        "gen_ai.usage.cache_read.input_tokens": 500_000,
        "gen_ai.usage.audio.input_tokens": 100_000,
        "gen_ai.usage.cache_write.input_tokens": 100_000,
        "gen_ai.usage.audio.output_tokens": 100_000,
        "gen_ai.usage.reasoning.output_tokens": 100_000,
    }
    (row,) = costs(toml, (LLAMA | kinds, otlp.noon))
    assert row["cost_usd"] == Decimal(3) + Decimal("0.5") + 2 + 1 + 8 + 4 + 1
    assert (row["input_uncached_tokens"], row["output_text_tokens"]) == (300_000, 800_000)
    assert row["cache_savings_usd"] == Decimal("4.5")


def test_the_price_changes_above_a_number_of_tokens_and_with_the_currency(costs: Any, otlp: Any) -> None:
    toml = """
        currency = "EUR"
        usd_per_unit = 1.5
        [[price]]
        model = "llama-*"
        input = 1
        output = 0
        [[price.above]]
        input_tokens = 500_000
        input = 2
    """
    little = LLAMA | {"gen_ai.usage.input_tokens": 500_000}
    assert usd(costs(toml, (little, otlp.noon), (LLAMA, otlp.noon))) == [Decimal("0.75"), 3]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[[price", "not TOML"),
        ("price = 3", r"\[\[price\]\]"),
        ('[[price]]\nmodel = "x"', "price 1: says no price"),
        ("[[price]]\ninput = -1", "price 1: input: .* no amount"),
        ("[[price]]\ninput = 1\n[[price]]\ninptu = 1", "price 2: inptu: no such price"),
        ('[[price]]\ninput = 1\nfrom = "soon"', "price 1: from: 'soon' is no date"),
        ('currency = "EUR"\n[[price]]\ninput = 1', "usd_per_unit"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(costs: Any, toml: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        costs(toml)


def test_a_changed_price_recosts_the_past_and_says_by_how_much(
    tmp_path: Path, otlp: Any, open_database: Callable[..., Any], tupletrace: Callable[..., Any]
) -> None:
    database = open_database()
    database.insert(otlp.request(otlp.call(1, 1, usage=(1_000_000, 0))))
    database.store.settle(0)
    database.store.close()
    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nmodel = "gpt-4o"\ninput = 1\noutput = 1')
    own = {"TUPLETRACE_PRICES": str(file)}
    done = tupletrace("prices", "update", "--db", database.path, "--json", **own)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["cost_before_usd"], row["cost_now_usd"], row["difference_usd"]) == (2.5, 1.0, -1.5)
    listed = json.loads(tupletrace("prices", "--db", database.path, "--json", **own).stdout)
    assert {(one["unit"], one["price_usd"]) for one in listed} >= {("input_token", 0.000001)}
    assert os.path.basename(listed[0]["source"]) == "prices.toml"
