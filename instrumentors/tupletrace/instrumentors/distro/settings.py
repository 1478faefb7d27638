"""The numbers that the environment may change: the SDK's batch variables, and two of our own."""

import logging
import math
from dataclasses import dataclass
from os import environ
from typing import Final

from opentelemetry.sdk.environment_variables import (
    OTEL_BLRP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BLRP_MAX_QUEUE_SIZE,
    OTEL_BLRP_SCHEDULE_DELAY,
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
)

_logger: Final = logging.getLogger("tupletrace")
MAX_QUEUE_BYTES: Final = "TUPLETRACE_MAX_QUEUE_BYTES"
"""Memory that the spans that wait for the receiver may hold; log records likewise. The oldest go first."""
EXIT_SECONDS: Final = "TUPLETRACE_EXIT_SECONDS"
"""How long the program's exit waits for a receiver that does not answer."""

_QUEUE_BYTES: Final = 64_000_000
_EXIT_S: Final = 1.0
_UNLIMITED: Final = 1 << 62
_CHILD_DELAY_MS: Final = 200
"""In a multiprocessing child, which its parent may end at any time: `with Pool()` does, by SIGTERM."""
_BATCH_BYTES: Final = 2_000_000
"""In memory. On the wire even text of 3 bytes a character stays below the 4 MiB that gRPC servers accept."""


@dataclass(frozen=True)
class Limits:
    """What one queue may hold and when it sends."""

    queue_bytes: int
    queue_items: int
    batch_items: int
    delay_s: float
    child_delay_s: float
    batch_bytes: int = _BATCH_BYTES


def span_limits() -> Limits:
    """Return the limits of a span queue: in number only where ``OTEL_BSP_MAX_QUEUE_SIZE`` sets one."""
    return _limits(
        OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_SCHEDULE_DELAY, delay_ms=5000
    )


def log_limits() -> Limits:
    """Return the limits of a log record queue, with the ``OTEL_BLRP_*`` variables."""
    return _limits(
        OTEL_BLRP_MAX_QUEUE_SIZE, OTEL_BLRP_MAX_EXPORT_BATCH_SIZE, OTEL_BLRP_SCHEDULE_DELAY, delay_ms=1000
    )


def exit_seconds() -> float:
    """Return how long the exit waits for a receiver that does not answer; 0 waits for none."""
    return _number(EXIT_SECONDS, _EXIT_S, least=0)


def _limits(queue: str, batch: str, delay: str, *, delay_ms: float) -> Limits:
    return Limits(
        queue_bytes=int(_number(MAX_QUEUE_BYTES, _QUEUE_BYTES, least=1)),
        queue_items=int(_number(queue, _UNLIMITED, least=1)),
        batch_items=int(_number(batch, 512, least=1)),
        delay_s=_number(delay, delay_ms, least=1) / 1000,
        child_delay_s=_number(delay, _CHILD_DELAY_MS, least=1) / 1000,
    )


def _number(variable: str, default: float, *, least: float) -> float:
    text = environ.get(variable, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and value >= least:
        return value
    _logger.warning(
        "tupletrace: %s=%s is not a number of at least %g; %.15g is used", variable, text, least, default
    )
    return default
