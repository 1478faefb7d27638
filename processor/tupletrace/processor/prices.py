"""The price book: what ``genai-prices`` says of a model, as dated rows that SQL can join.

A model is looked up once per (provider, model, service tier), never per span.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import Any, Final, NamedTuple, TypeVar

import pyarrow as pa
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices, TimeOfDateConstraint

T = TypeVar("T")
SOURCE: Final = f"genai-prices {version('genai-prices')}"
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
_MIDNIGHT: Final = time(0)
_PER_MILLION: Final = 1_000_000
_PER_THOUSAND: Final = 1_000
_USD: Final = pa.decimal128(26, 22)
SCHEMA: Final = pa.schema(
    {
        "provider_name": pa.string(),
        "model": pa.string(),
        "service_tier": pa.string(),
        "input_usd": _USD,
        "cache_read_usd": _USD,
        "cache_write_usd": _USD,
        "output_usd": _USD,
        "reasoning_usd": _USD,
        "request_usd": _USD,
        "cache_write_1h_usd": _USD,
        "audio_input_usd": _USD,
        "audio_cache_read_usd": _USD,
        "image_input_usd": _USD,
        "audio_output_usd": _USD,
        "image_output_usd": _USD,
        "second_usd": _USD,
        "image_usd": _USD,
        "route": pa.string(),
        "other_routes": pa.string(),
        "above_input_tokens": pa.int64(),
        "up_to_input_tokens": pa.int64(),
        "valid_from": pa.timestamp("us", "UTC"),
        "valid_to": pa.timestamp("us", "UTC"),
        "daily_from": pa.time64("us"),
        "daily_to": pa.time64("us"),
        "source": pa.string(),
    }
)


class Model(NamedTuple):
    """What a price depends on besides tokens and time; any part may be unknown."""

    provider_name: str | None
    model: str
    service_tier: str | None


@dataclass(frozen=True, slots=True)
class Own:
    """One price of the user's: for which calls, and its rows (context tiers) of ``price_book``."""

    provider: str
    model: str
    service_tier: str | None
    route: str | None
    """As a regular expression."""
    valid_from: datetime | None
    valid_to: datetime | None
    source: str
    rows: tuple[dict[str, object], ...]

    def fits(self, key: Model) -> bool:
        """Say whether this is a price of a model, at some time and on some route."""
        tier = self.service_tier in (None, key.service_tier)
        return (
            tier
            and fnmatchcase(key.provider_name or "", self.provider)
            and fnmatchcase(key.model, self.model)
        )


def price_rows(models: Iterable[Model], own: Sequence[Own] = ()) -> pa.Table:
    """Return the rows of ``price_book`` for these models; an unknown model gets one row without prices.

    The user's own prices come before those of ``genai-prices``, the first of them before the others.
    """
    rows: list[dict[str, object]] = []
    for key in models:
        mine = [one for one in own if one.fits(key)]
        found = list(_among(mine, list(_dated(key)))) if mine else list(_dated(key))
        rows.extend(key._asdict() | {"source": SOURCE} | row for row in found or [{}])
    return pa.Table.from_pylist(rows, SCHEMA)


def _among(own: list[Own], book: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    """Yield rows of which one alone is valid at any time on any route."""
    ends = {end for one in [*own, *map(_Period.of, book)] for end in (one.valid_from, one.valid_to) if end}
    for begin, end in _pairs([None, *sorted(ends)]):
        period = {"valid_from": begin, "valid_to": end}
        taken: list[str] = []
        for one in own:
            if _covers(one, begin, end):
                others = {"other_routes": "|".join(taken) or None}
                yield from (
                    row | period | others | {"source": one.source, "route": one.route} for row in one.rows
                )
                if one.route is None:
                    break
                taken.append(one.route)
        else:
            for row in book:
                if _covers(_Period.of(row), begin, end):
                    yield row | period | {"other_routes": "|".join(taken) or None}


class _Period(NamedTuple):
    valid_from: datetime | None
    valid_to: datetime | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "_Period":
        return cls(row.get("valid_from"), row.get("valid_to"))


def _covers(period: "_Period | Own", begin: datetime | None, end: datetime | None) -> bool:
    started = period.valid_from is None or (begin is not None and begin >= period.valid_from)
    return started and (period.valid_to is None or (end is not None and end <= period.valid_to))


def _dated(key: Model) -> Iterator[dict[str, object]]:
    name = _PROVIDERS.get(key.provider_name or "", key.provider_name)
    try:
        provider, model = get_snapshot().find_provider_model(key.model, None, name, None)
    except LookupError:
        return
    # As genai-prices does it: another provider's model, offered by this one, has no service tiers.
    own = any(model is one for one in provider.models)
    yield from _periods(model, _context(key.service_tier) if key.service_tier and own else None)


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
    return default if price is None else round(price / per, _USD.scale)
