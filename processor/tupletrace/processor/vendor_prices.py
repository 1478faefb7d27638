"""What ``genai-prices`` says of a model, as dated rows: it is sampled once, where its answer may change."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final, TypeVar

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices, TimeOfDateConstraint

T = TypeVar("T")
_PROVIDERS: Final[dict[str, str | None]] = {
    "_OTHER": None,
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gen_ai": "google",
    "x_ai": "x-ai",
}
"""Names of the semantic conventions that ``genai-prices`` does not know, or takes for another provider's."""
_SCALE: Final = 22
"""Digits of a dollar that ``price_book`` keeps."""
_MIDNIGHT: Final = time(0)
_PER_MILLION: Final = 1_000_000
_PER_THOUSAND: Final = 1_000


def dated(
    provider_name: str | None, model_name: str, service_tier: str | None
) -> Iterator[dict[str, object]]:
    """Yield the rows of ``price_book`` for a model, none if ``genai-prices`` does not know it."""
    name = _PROVIDERS.get(provider_name or "", provider_name)
    try:
        provider, model = get_snapshot().find_provider_model(model_name, None, name, None)
    except LookupError:
        return
    # As genai-prices does it: another provider's model, offered by this one, has no service tiers.
    own = any(model is one for one in provider.models)
    yield from _periods(model, _context(service_tier) if service_tier and own else None)


def _context(tier: str) -> dict[str, str]:
    return {"service_tier": tier, "processing": "batch"} if tier == "batch" else {"service_tier": tier}


def _periods(model: ModelInfo, context: dict[str, str] | None) -> Iterator[dict[str, object]]:
    """Yield one row for every stretch of dates, time of day and context size with prices of its own."""
    constraints = [price.constraint for price in model.prices] if isinstance(model.prices, list) else []
    constraints += [variant.constraint for variant in model.price_variants or ()]
    dates: list[date | None] = [
        None,
        *sorted({c.start_date for c in constraints if isinstance(c, StartDateConstraint)}),
    ]
    times = sorted({t for c in constraints if isinstance(c, TimeOfDateConstraint) for t in _utc_window(c)})
    windows = _pairs([_MIDNIGHT, *(t for t in times if t != _MIDNIGHT)])
    for first, last in _pairs(dates):
        for begin, end in windows:
            sample = datetime.combine(first or date(2000, 1, 1), begin, UTC)
            period = {
                "valid_from": first and datetime.combine(first, _MIDNIGHT, UTC),
                "valid_to": last and datetime.combine(last, _MIDNIGHT, UTC),
                "daily_from": begin if len(windows) > 1 else None,
                "daily_to": end,
            }
            for tier in _tiers(model.get_prices(sample, context)):
                yield period | tier


def _utc_window(constraint: TimeOfDateConstraint) -> list[time]:
    ends = (constraint.start_time, constraint.end_time)
    return [datetime.combine(date(2000, 1, 2), end, end.tzinfo or UTC).astimezone(UTC).time() for end in ends]


def _pairs(points: list[T]) -> list[tuple[T, T | None]]:
    return list(zip(points, [*points[1:], None], strict=True))


def _tiers(price: ModelPrice) -> Iterator[dict[str, object]]:
    """Yield the prices below and above every context threshold; a tier applies to all tokens of the call."""
    tiered = [value for value in vars(price).values() if isinstance(value, TieredPrices)]
    starts = sorted({tier.start for value in tiered for tier in value.tiers})
    for above, up_to in _pairs([None, *starts]):
        input_usd = _at(price.input_mtok, above, _PER_MILLION)
        output_usd = _at(price.output_mtok, above, _PER_MILLION)
        cache_read_usd = _at(price.cache_read_mtok, above, _PER_MILLION, input_usd)
        cache_write_usd = _at(price.cache_write_mtok, above, _PER_MILLION, input_usd)
        yield {
            "input_usd": input_usd,
            # A kind of token without a price of its own is billed as the kind that it is part of.
            "cache_read_usd": cache_read_usd,
            "cache_write_usd": cache_write_usd,
            "output_usd": output_usd,
            "reasoning_usd": _at(price.output_reasoning_mtok, above, _PER_MILLION, output_usd),
            "request_usd": _at(price.requests_kcount, above, _PER_THOUSAND),
            "cache_write_1h_usd": _at(price.cache_write_1h_mtok, above, _PER_MILLION, cache_write_usd),
            "audio_input_usd": _at(price.input_audio_mtok, above, _PER_MILLION, input_usd),
            "audio_cache_read_usd": _at(price.cache_audio_read_mtok, above, _PER_MILLION, cache_read_usd),
            "image_input_usd": _at(price.input_image_mtok, above, _PER_MILLION, input_usd),
            "audio_output_usd": _at(price.output_audio_mtok, above, _PER_MILLION, output_usd),
            "image_output_usd": _at(price.output_image_mtok, above, _PER_MILLION, output_usd),
            "above_input_tokens": above,
            "up_to_input_tokens": up_to,
        }


def _at(
    price: Decimal | TieredPrices | None, above: int | None, per: int, default: Decimal | None = None
) -> Decimal | None:
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if above is not None and tier.start <= above]
        price = reached[-1] if reached else price.base
    return default if price is None else round(price / per, _SCALE)
