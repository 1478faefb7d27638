"""The user's own prices: a TOML file for models that they host, and for what they have negotiated.

::

    currency = "EUR"            # of every amount in this file (default USD)
    usd_per_unit = 1.08         # what one of it is in USD

    [[price]]
    provider = "openai"         # patterns with * (default: any)
    model = "llama-3*"
    route = "/chat/*"
    service_tier = "batch"      # exactly this one (default: any)
    from = 2026-01-01           # UTC; to: before this day
    input = 0.20                # per million tokens; also cache_read, cache_write, cache_write_1h, output,
    output = 0.60               #   reasoning, audio_input, audio_output, image_input, image_output
    request = 0.001             # each; also second (of the call), image (made)
    [[price.above]]             # from so many input tokens on
    input_tokens = 200000
    input = 0.40

The first entry that fits a call counts, before ``genai-prices``.
"""

import hashlib
import os
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fnmatch import translate
from pathlib import Path
from typing import Any, Final

from tupletrace.processor.prices import Own
from tupletrace.processor.schema import StoreError

_MILLION: Final = 1_000_000
_TOKENS: Final = (
    "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "audio_input",
    "audio_cache_read", "audio_output", "image_input", "image_output",
)  # fmt: skip
_PART_OF: Final = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "audio_cache_read": "cache_read",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
"""A kind of token without a price of its own is billed as the kind that it is part of."""
_EACH: Final = ("request", "second", "image")
_WHEN: Final = ("provider", "model", "route", "service_tier", "from", "to", "above")


class PricesError(StoreError):
    """The file cannot be used; the message says where and why."""


def path() -> Path:
    """Return where the file is: ``TUPLETRACE_PRICES``, or ``~/.tupletrace/prices.toml``."""
    return Path(os.environ.get("TUPLETRACE_PRICES") or "~/.tupletrace/prices.toml").expanduser()


def read() -> tuple[list[Own], str]:
    """Return the user's prices in their order, and a fingerprint of the file ("" where there is none).

    Raises:
        PricesError: it is named and is not there, or it is no file of prices.
    """
    file = path()
    if not file.exists():
        if os.environ.get("TUPLETRACE_PRICES"):
            raise PricesError(f"{file}: there is no such file of prices")
        return [], ""
    raw = file.read_bytes()
    try:
        table = tomllib.loads(raw.decode("utf-8"), parse_float=Decimal)
    except (ValueError, OSError) as error:
        raise PricesError(f"{file}: not TOML: {error}") from None
    rate = _amount(table.get("usd_per_unit", 1), f"{file}: usd_per_unit")
    if table.get("currency", "USD") != "USD" and "usd_per_unit" not in table:
        raise PricesError(f"{file}: currency {table['currency']}: say its usd_per_unit as well")
    entries: Any = table.get("price", [])
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise PricesError(f"{file}: prices are written as [[price]] tables")
    source = str(file)
    own = [_entry(entry, rate, source, f"{file}: price {i}") for i, entry in enumerate(entries, 1)]
    return own, hashlib.sha256(raw).hexdigest()


def _entry(entry: Mapping[str, Any], rate: Decimal, source: str, where: str) -> Own:
    if unknown := entry.keys() - {*_TOKENS, *_EACH, *_WHEN}:
        raise PricesError(f"{where}: {', '.join(sorted(unknown))}: no such price or condition")
    if not entry.keys() & {*_TOKENS, *_EACH, "above"}:
        raise PricesError(f"{where}: says no price")
    steps = sorted(entry.get("above", []), key=lambda step: step.get("input_tokens", 0))
    rows: list[dict[str, object]] = []
    said: Mapping[str, Any] = entry
    for position in range(len(steps) + 1):
        above = steps[position - 1].get("input_tokens") if position else None
        up_to = steps[position].get("input_tokens") if position < len(steps) else None
        if position:
            said = {**said, **steps[position - 1]}
        rows.append(_row(said, rate, where) | {"above_input_tokens": above, "up_to_input_tokens": up_to})
    route = entry.get("route")
    return Own(
        provider=str(entry.get("provider", "*")),
        model=str(entry.get("model", "*")),
        service_tier=entry.get("service_tier"),
        route=None
        if route in (None, "*")
        else translate(str(route)).removeprefix("(?s:").removesuffix(r")\Z"),
        valid_from=_moment(entry.get("from"), f"{where}: from"),
        valid_to=_moment(entry.get("to"), f"{where}: to"),
        source=source,
        rows=tuple(rows),
    )


def _row(said: Mapping[str, Any], rate: Decimal, where: str) -> dict[str, object]:
    row: dict[str, object] = {}
    for kind in _TOKENS:
        amount: Any = said.get(kind)
        row[f"{kind}_usd"] = (
            row.get(f"{_PART_OF.get(kind)}_usd")
            if amount is None
            else round(_amount(amount, f"{where}: {kind}") * rate / _MILLION, 22)
        )
    for kind in _EACH:
        if kind in said:
            row[f"{kind}_usd"] = round(_amount(said[kind], f"{where}: {kind}") * rate, 22)
    return row


def _amount(said: Any, where: str) -> Decimal:
    if (
        isinstance(said, bool)
        or not isinstance(said, int | Decimal)
        or said < 0
        or not Decimal(said).is_finite()
    ):
        raise PricesError(f"{where}: {said!r} is no amount")
    return Decimal(said)


def _moment(said: Any, where: str) -> datetime | None:
    if said is None:
        return None
    if isinstance(said, datetime):
        return said if said.tzinfo else said.replace(tzinfo=UTC)
    if isinstance(said, date):
        return datetime.combine(said, time(0), UTC)
    raise PricesError(f"{where}: {said!r} is no date, for instance 2026-01-01")
