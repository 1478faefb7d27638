"""What every transport does with a request: let it in, read it, check it, journal it, answer it."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tupletrace.processor import limits, metrics, records, wire
from tupletrace.processor.admission import Admission, Held
from tupletrace.processor.journal import Journal, JournalError
from tupletrace.processor.limits import Limits
from tupletrace.processor.records import Records
from tupletrace.processor.refusal import Cancelled, Refused, Unavailable

_DURABLE_TIMEOUT_S: Final = 8.0
"""Below the 10 s after which the SDK's exporters give a request up."""
_INLINE_BYTES: Final = 16 * 2**10
"""A smaller request is checked in less time than a thread takes to be told of it."""
_CHECKING: Final = 4
"""Requests parsed at once."""
_LARGE_BYTES: Final = 8 * 2**20
"""Of these one: it may hold hundreds of megabytes for a moment."""
_RESPONSES: Final[dict[str, tuple[Any, str, str]]] = {
    wire.TRACES: (ExportTraceServiceResponse, "rejected_spans", "spans"),
    wire.METRICS: (ExportMetricsServiceResponse, "rejected_data_points", "data points"),
    wire.LOGS: (ExportLogsServiceResponse, "rejected_log_records", "log records"),
}
_WHY: Final = {
    records.INVALID_ID: "with an invalid trace_id or span_id (16 and 8 bytes, not all zero)",
    records.INVALID_TEXT: "with text that is not UTF-8 or a value that cannot be read",
}


@dataclass(frozen=True, slots=True)
class _Accepted:
    durable: "Future[int] | None"
    response: Any


class Receiver:
    """Takes requests from any event loop, each acknowledged once it is on disk."""

    def __init__(
        self, journal: Journal, on_append: Callable[[], None], admission: Admission, most: Limits
    ) -> None:
        """Journal into ``journal``; call ``on_append`` after each request that is on disk."""
        self._journal, self._on_append = journal, on_append
        self.admission, self.limits = admission, most
        self.journal_seq = 0
        """Of the last request that is on disk, 0 before the first."""
        self._checking = ThreadPoolExecutor(_CHECKING, "tupletrace-receive")
        self._checking_large = ThreadPoolExecutor(1, "tupletrace-receive-large")

    async def take(
        self,
        signal: str,
        read: Callable[[Held], Awaitable[bytes]],
        unpack: Callable[[bytes, Held], bytes] | None = None,
        expected: int = 0,
    ) -> Any:
        """Return the response to one request of about ``expected`` bytes, once it is on disk.

        ``read`` gives its body; ``unpack``, which may take its time, makes of that protobuf, uncompressed.

        Raises:
            Refused: it is not accepted; nothing of it was kept, unless the journal was only too slow.
        """
        try:
            accepted = await self._received(signal, read, unpack, expected)
            if accepted.durable is not None:
                await asyncio.wait_for(asyncio.wrap_future(accepted.durable), _DURABLE_TIMEOUT_S)
        except (JournalError, TimeoutError) as error:
            raise Unavailable(str(error) or "the journal did not answer in time") from None
        except Refused as error:
            # Whoever keeps the error for a while would keep the body that its frames know.
            traceback.clear_frames(error.__traceback__)
            raise
        return accepted.response

    async def _received(
        self,
        signal: str,
        read: Callable[[Held], Awaitable[bytes]],
        unpack: Callable[[bytes, Held], bytes] | None,
        expected: int,
    ) -> _Accepted:
        held = self.admission.enter(expected)
        try:
            body = await read(held)
        except BaseException:
            held.release()
            raise
        # From here on the bytes are given back there, even if nobody waits any longer.
        if unpack is None and len(body) <= _INLINE_BYTES:
            return self._accept(signal, body, None, held)
        loop = asyncio.get_running_loop()
        checking = self._checking_large if len(body) > _LARGE_BYTES else self._checking
        accepting = loop.run_in_executor(checking, self._accept, signal, body, unpack, held)
        # A client that goes away would take it out of the queue, and its bytes would be held for ever.
        return await asyncio.shield(accepting)

    def _accept(
        self, signal: str, body: bytes, unpack: Callable[[bytes, Held], bytes] | None, held: Held
    ) -> _Accepted:
        durable = None
        try:
            if unpack is not None:
                body = unpack(body, held)
            limits.check(signal, body, self.limits)
            found = records.examine(signal, body)
            if found.kept:
                durable = self._append(signal, found, held)
        finally:
            if durable is None:
                held.release()
        for reason, count in found.left_out.items():
            metrics.RECORDS.labels(signal, reason).inc(count)
        return _Accepted(durable, _response(signal, found))

    def _append(self, signal: str, found: Records, held: Held) -> "Future[int]":
        began = time.perf_counter()

        def done(journalled: "Future[int]") -> None:
            held.release()
            metrics.JOURNAL_QUEUE.dec()
            if journalled.exception() is not None:
                metrics.RECORDS.labels(signal, Unavailable.reason).inc(found.kept)
                return
            self.journal_seq = max(self.journal_seq, journalled.result())
            metrics.COMMIT.observe(time.perf_counter() - began)
            metrics.RECEIVED_BYTES.labels(signal).inc(len(found.body))
            metrics.RECORDS.labels(signal, "accepted").inc(found.kept)
            if found.repaired:
                metrics.ODDITIES.labels("repaired_text").inc(found.repaired)
            self._on_append()

        metrics.JOURNAL_QUEUE.inc()
        durable = self._journal.append(signal, found.body)
        durable.add_done_callback(done)
        return durable


@contextmanager
def counted(signal: str) -> Generator[None]:
    """Count what becomes of a request that is taken, or refused, inside."""
    became = "failed"
    try:
        yield
        became = "accepted"
    except Refused as refused:
        became = refused.reason
        raise
    except asyncio.CancelledError:
        became = Cancelled.reason
        raise
    finally:
        metrics.REQUESTS.labels(signal, became).inc()


def _response(signal: str, found: Records) -> Any:
    kind, rejected, name = _RESPONSES[signal]
    response = kind()
    said: list[str] = []
    if found.left_out:
        setattr(response.partial_success, rejected, found.left_out.total())
        why = ", ".join(f"{count} {_WHY[reason]}" for reason, count in found.left_out.items())
        said.append(f"{found.left_out.total()} {name} left out: {why}")
    if found.repaired:
        said.append(f"{found.repaired} texts around {name} were not UTF-8 and are repaired")
    if said:
        response.partial_success.error_message = "; ".join(said)
    return response
