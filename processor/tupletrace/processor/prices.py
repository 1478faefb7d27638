"""The price book: what ``genai-prices`` says of a model, as dated rows that SQL can join.

A model is looked up once per (provider, model, service tier), never per span.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from importlib.metadata import version
from itertools import pairwise
from typing import Any, Final, NamedTuple

import pyarrow as pa

SOURCE: Final = f"genai-prices {version('genai-prices')}"
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
    # Here: it takes 28 MB that a processor without a call to price has no use for.
    from tupletrace.processor import vendor_prices

    rows: list[dict[str, object]] = []
    for key in models:
        mine = [one for one in own if one.fits(key)]
        found = list(vendor_prices.dated(*key))
        found = list(_among(mine, found)) if mine else found
        rows.extend(key._asdict() | {"source": SOURCE} | row for row in found or [{}])
    return pa.Table.from_pylist(rows, SCHEMA)


def _among(own: list[Own], book: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    """Yield rows of which one alone is valid at any time on any route."""
    ends = {end for one in [*own, *map(_Period.of, book)] for end in (one.valid_from, one.valid_to) if end}
    for begin, end in pairwise([None, *sorted(ends), None]):
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
