"""Waits until the processor has every trace of the demo."""

import time
from datetime import datetime
from typing import Final

from tupletrace.processor import ask

_TIMEOUT_S: Final = 30
"""Without a new span."""
_POLL_S: Final = 0.25
_STILL_S: Final = 1.0
"""A request is indexed well within this time of its acknowledgement."""


def wait(answer: ask.Ask, services: set[str], since: datetime) -> set[str]:
    """Wait until each service has traces and all of them are complete; return the services still waiting."""
    sql = f"""
        SELECT service_name, bool_and(complete) AS complete, sum(spans) AS spans
        FROM traces WHERE start_time >= TIMESTAMPTZ '{since.isoformat()}' GROUP BY service_name
    """
    spans, grown = 0, time.monotonic()
    while True:
        rows = answer(sql).to_pylist()
        now, seen = time.monotonic(), sum(row["spans"] for row in rows)
        if seen != spans:
            spans, grown = seen, now
        waiting = services - {row["service_name"] for row in rows if row["complete"]}
        if now - grown >= (_TIMEOUT_S if waiting else _STILL_S):
            return waiting
        time.sleep(_POLL_S)
