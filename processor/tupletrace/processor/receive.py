"""What every transport does with a request: check it, journal it, answer it."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tupletrace.processor import decode, wire
from tupletrace.processor.journal import Journal

MAX_REQUEST_BYTES: Final = 64 * 2**20
"""OTLP 1.11 recommends 64 MiB, after decompression: one default batch of 512 spans with 100 kB prompts."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A checked request: ``durable`` completes when it is on disk, then ``response`` may be sent."""

    durable: "Future[int] | None"
    response: bytes


class Receiver:
    """Takes raw request bodies from any thread; ``counts`` says what became of them."""

    def __init__(self, journal: Journal, on_append: Callable[[], None]) -> None:
        """Journal into ``journal``; call ``on_append`` after each request that is on disk."""
        self._journal, self._on_append = journal, on_append
        self._counting = threading.Lock()
        self.counts: Counter[str] = Counter()
        """``requests.<signal>``, ``requests.malformed``, ``spans.accepted``, ``spans.rejected``."""

    def accept(self, signal: str, body: bytes) -> Accepted:
        """Check one uncompressed protobuf request and queue it for the journal.

        Raises:
            MalformedRequest: it is not an OTLP request of this signal.
        """
        try:
            response, spans, rejected = self._check(signal, body)
        except wire.MalformedRequest:
            self._count({"requests.malformed": 1})
            raise
        self._count({f"requests.{signal}": 1, "spans.accepted": spans, "spans.rejected": rejected})
        if not body or (rejected and not spans):
            return Accepted(None, response)
        durable = self._journal.append(signal, body)
        durable.add_done_callback(lambda done: done.exception() or self._on_append())
        return Accepted(durable, response)

    @staticmethod
    def _check(signal: str, body: bytes) -> tuple[bytes, int, int]:
        if signal != wire.TRACES:
            wire.parse(signal, [body])
            return b"", 0, 0
        accepted, rejected = decode.check(body)
        response = ExportTraceServiceResponse()
        if rejected:
            response.partial_success.rejected_spans = rejected
            response.partial_success.error_message = (
                f"{rejected} spans left out: a trace_id has 16 bytes and a span_id 8, not all zero"
            )
        return response.SerializeToString(), accepted, rejected

    def _count(self, counts: dict[str, int]) -> None:
        with self._counting:
            self.counts.update(counts)
