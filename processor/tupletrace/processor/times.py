"""How people say times and durations: ``2026-11-21``, ``2026-11-21T10:00``, ``7d`` ago."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

_DURATION: Final = re.compile(r"(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?", re.IGNORECASE)
_UNITS_S: Final = {"y": 365 * 86_400, "w": 7 * 86_400, "d": 86_400, "h": 3600, "m": 60, "s": 1}


def seconds(text: str) -> float:
    """Return a duration in seconds: ``400d``, ``1d12h``; y, w, d, h, m, s, the longest first.

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise ValueError(f"{text!r} is no duration: write 7d, 12h or 1d12h (y, w, d, h, m, s)")
    return float(sum(int(one[:-1]) * _UNITS_S[one[-1].lower()] for one in found.groups() if one))


def moment(text: str) -> datetime:
    """Return a time that is said as ISO 8601 (UTC if it does not say), or as a duration ago, ``7d``.

    Raises:
        ValueError: it is neither.
    """
    with suppress(ValueError, OverflowError):
        return datetime.now(UTC) - timedelta(seconds=seconds(text))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write 2026-11-21, 2026-11-21T10:00 (UTC), or 7d, 12h, 5m ago"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
