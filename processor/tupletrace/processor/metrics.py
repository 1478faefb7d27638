"""The processor's own metrics, for ``/metrics``: counted where things happen, read when asked for."""

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_REGISTRY: Final = CollectorRegistry()
disable_created_metrics()
ProcessCollector(registry=_REGISTRY)

REQUESTS: Final = Counter(
    "tupletrace_requests",
    "Requests by signal and what became of them",
    ["signal", "result"],
    registry=_REGISTRY,
)
RECORDS: Final = Counter(
    "tupletrace_records",
    "Spans, log records and data points by signal and what became of them",
    ["signal", "result"],
    registry=_REGISTRY,
)
RECEIVED_BYTES: Final = Counter(
    "tupletrace_received_bytes",
    "Accepted requests, as protobuf, uncompressed",
    ["signal"],
    registry=_REGISTRY,
)
ODDITIES: Final = Counter(
    "tupletrace_oddities",
    "What was accepted and is stored otherwise than it was sent, by kind",
    ["kind"],
    registry=_REGISTRY,
)
STAGE_FAILURES: Final = Counter(
    "tupletrace_stage_failures",
    "Batches that a stage of the user's failed on; 1 for one that cannot be loaded",
    ["stage"],
    registry=_REGISTRY,
)
FORWARDED: Final = Counter(
    "tupletrace_forwarded_requests",
    "Requests that were sent on (--forward) by signal and what the other side said",
    ["signal", "result"],
    registry=_REGISTRY,
)
DROPPED: Final = Counter(
    "tupletrace_dropped_spans",
    "Spans that retention has dropped, or the content of",
    ["what", "because"],
    registry=_REGISTRY,
)
COMMIT: Final = Histogram(
    "tupletrace_journal_commit_seconds",
    "From queueing a request for the journal to its being on disk",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=_REGISTRY,
)
JOURNAL_QUEUE: Final = Gauge(
    "tupletrace_journal_queue_requests", "Requests that wait for the journal", registry=_REGISTRY
)
_GAUGES: Final = {
    name: Gauge(f"tupletrace_{name}", said, registry=_REGISTRY)
    for name, said in {
        "in_flight_bytes": "Bytes of requests that are being received or wait for the journal",
        "in_flight_limit_bytes": "Most of them before requests are refused",
        "disk_free_bytes": "Left on the disk of the journal",
        "disk_reserve_bytes": "Below so much left, requests are refused",
        "journal_seq": "Number of the last request on disk",
        "index_seq": "Number of the last request that SQL sees",
        "queries_running": "SQL queries whose answers are not all sent",
        "database_bytes": "Size of the database file",
        "journal_bytes": "Size of the files of the journal",
        "spans_since_timestamp_seconds": "Start of the oldest span that is kept",
        "content_since_timestamp_seconds": "Start of the oldest span whose content is kept",
    }.items()
}


def observe(name: str, now: Callable[[], float]) -> None:
    """Let a gauge say what ``now`` returns each time that it is asked."""
    _GAUGES[name].set_function(now)


def text() -> bytes:
    """Return all metrics in Prometheus text format."""
    return generate_latest(_REGISTRY)
