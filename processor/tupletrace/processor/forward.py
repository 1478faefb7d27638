"""``--forward``: the journal, on to another OTLP/gRPC endpoint, with what was found out added to the spans.

At least once: the position is written after the other side has acknowledged, and read at the next start.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.util.re import parse_env_headers

from tupletrace.processor import journal, metrics, wire
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.journal_file import Request
from tupletrace.processor.schema import StoreError, statement
from tupletrace.semconv import names

_logger: Final = logging.getLogger(__name__)
HEADERS: Final = "TUPLETRACE_FORWARD_HEADERS"
"""Environment variable: what else to send with each request, as in ``OTEL_EXPORTER_OTLP_HEADERS``."""


class _Signal(NamedTuple):
    """How a signal is exported, and where its records are in a request."""

    method: str
    request: Any
    response: Any
    levels: tuple[str, str, str]


_SIGNALS: Final = {
    wire.TRACES: _Signal(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
        ("resource_spans", "scope_spans", "spans"),
    ),
    wire.METRICS: _Signal(
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
        ("resource_metrics", "scope_metrics", "metrics"),
    ),
    wire.LOGS: _Signal(
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
        ("resource_logs", "scope_logs", "log_records"),
    ),
}
_REFUSED: Final = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)
"""Sending it again would change nothing."""
_PERHAPS_REFUSED: Final = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
"""What some servers say of what they cannot read, too: no other request waits for it for ever."""
_TRIES: Final = 4
_MESSAGE_BYTES: Final = 4 * 2**20 - 2**16
"""What every server takes that has not been told otherwise, among them the Collector."""
_FRAME_BYTES: Final = 8
"""At most, of a record's number of a field and length."""
_BATCH_BYTES: Final = 4 * 2**20
_TIMEOUT_S: Final = 20.0
_SETTLED_S: Final = 4.0
"""So long after a request came its traces are mostly complete."""
_POLL_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_LONGEST_ASKED_S: Final = 600.0
"""Whatever the other side asks for."""
Enrichment = Mapping[tuple[str, str], Mapping[str, Any]]


class Forwarder:
    """A thread that follows the journal behind the index."""

    def __init__(self, database: Path, target: str, cursor: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        """Begin where an earlier one for this target has stopped; the first begins with what comes now.

        Raises:
            StoreError: where that was, or who is to be believed, cannot be read.
        """
        self._folder = journal_folder(database)
        self._file = database.with_name(database.name + ".forwarded")
        self._target, self._cursor = target, cursor
        self._stopping = threading.Event()
        self._position = self._read().get(target, journal.last_seq(self._folder))
        self._write()
        address = target.removeprefix("https://").removeprefix("http://")
        options = [("grpc.max_reconnect_backoff_ms", int(_LONGEST_WAIT_S * 1000))]
        self._channel = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(_authorities()), options)
            if target.startswith("https://")
            else grpc.insecure_channel(address, options)
        )
        said = os.environ.get(HEADERS, "")
        self._headers = tuple(parse_env_headers(said, liberal=True).items())
        self._failing, self._tries = 0, 0
        self._thread = threading.Thread(target=self._run, name="tupletrace-forward", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is not acknowledged by then is sent after the next start."""
        self._stopping.set()
        self._channel.close()
        self._thread.join()

    def _run(self) -> None:
        wait = _POLL_S
        while not self._stopping.wait(wait):
            try:
                for requests in journal.read(self._folder, self._position, _BATCH_BYTES):
                    due = list(takewhile(self._due(), requests))
                    self._send(due)
                    if len(due) < len(requests) or self._stopping.is_set():
                        break
                wait = _POLL_S
            except Exception as error:  # noqa: BLE001 - nothing is lost, it is tried again
                if wait == _POLL_S and not self._stopping.is_set():
                    said = error.details() if isinstance(error, grpc.Call) else error
                    _logger.warning("%s takes nothing now (%s); it is sent later", self._target, said)
                asked = _asked_s(error) if isinstance(error, grpc.Call) else 0
                wait = max(min(wait * 2, _LONGEST_WAIT_S), min(asked, _LONGEST_ASKED_S))

    def _due(self) -> Callable[[Request], bool]:
        with self._cursor() as cursor:
            ((told,),) = cursor.execute(statement("statements/told_seq")).fetchall()
        now = time.time_ns()
        latest = now - int(_SETTLED_S * 1_000_000_000)
        # What comes later than now came before the clock was set back.
        return lambda request: request.seq <= told and not latest < request.received_unix_nano <= now

    def _send(self, requests: list[Request]) -> None:
        if not requests:
            return
        found = self._found(requests[0].seq, requests[-1].seq)
        for request in requests:
            if request.damage is None and request.signal in _SIGNALS:
                body = enriched(request.body, found) if request.signal == wire.TRACES else request.body
                self._export(request, body)
            # One by one: what was acknowledged is not sent again because of what comes after it.
            self._position = request.seq + request.count - 1
        self._write()

    def _export(self, request: Request, body: bytes) -> None:
        kind = _SIGNALS[request.signal]
        result = "accepted"
        for part in _parts(kind, body):
            try:
                send = self._channel.unary_unary(kind.method)
                answer = send(part, timeout=_TIMEOUT_S, metadata=self._headers)
            except grpc.RpcError as error:
                if not isinstance(error, grpc.Call) or not self._is_refused(request, error, len(part)):
                    self._write()
                    raise
                result, said = "refused", error.details()
            else:
                if not (said := _left_out(kind, answer)):
                    continue
                result = "partial" if result == "accepted" else result
            _logger.warning("%s refuses request %d, or some of it: %s", self._target, request.seq, said)
        metrics.FORWARDED.labels(request.signal, result).inc()

    def _is_refused(self, request: Request, error: grpc.Call, size: int) -> bool:
        """Say whether sending a request again is of no use."""
        self._tries = self._tries + 1 if self._failing == request.seq else 1
        self._failing = request.seq
        code = error.code()
        return (
            code in _REFUSED
            or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and size > _MESSAGE_BYTES)
            or (code in _PERHAPS_REFUSED and self._tries >= _TRIES)
        )

    def _found(self, first: int, last: int) -> Enrichment:
        with self._cursor() as cursor:
            cursor.execute(statement("statements/enrichment"), {"first": first, "last": last})
            columns = [column for column, *_ in cursor.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        return {(row["trace_id"], row["span_id"]): row for row in rows}

    def _read(self) -> dict[str, int]:
        if not self._file.exists():
            return {}
        try:
            return {str(target): int(seq) for target, seq in json.loads(self._file.read_text()).items()}
        except (ValueError, TypeError, AttributeError):
            raise StoreError(
                f"{self._file} does not say any more up to which request what came was sent on: delete it to "
                "go on with what comes from now on"
            ) from None

    def _write(self) -> None:
        new = self._file.with_name(self._file.name + ".new")
        new.write_text(json.dumps(self._read() | {self._target: self._position}))
        new.chmod(0o600)
        new.replace(self._file)


def _authorities() -> bytes | None:
    """Return whom to believe what a server's certificate says; None: those that gRPC knows."""
    file = os.environ.get("SSL_CERT_FILE")
    try:
        return Path(file).read_bytes() if file else None
    except OSError as error:
        raise StoreError(f"SSL_CERT_FILE cannot be read: {error}") from None


def _asked_s(error: grpc.Call) -> float:
    """Return how long the other side asks to wait, 0 if it does not say."""
    said: dict[str, Any] = dict(error.trailing_metadata() or ())
    retry = RetryInfo()
    try:
        retry.ParseFromString(said.get("google.rpc.retryinfo-bin", b""))
        for detail in Status.FromString(said.get("grpc-status-details-bin", b"")).details:
            detail.Unpack(retry)
    except DecodeError:
        return 0
    return retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9


def _parts(kind: _Signal, body: bytes) -> Iterator[bytes]:
    """Yield a request in parts that every server takes; a record that is larger is one alone."""
    if len(body) <= _MESSAGE_BYTES:
        yield body
        return
    try:
        whole = kind.request.FromString(body)
    except DecodeError:
        yield body
        return
    resources, scopes, records = kind.levels
    part, size = kind.request(), 0
    for resource in getattr(whole, resources):
        in_resource = None
        for scope in getattr(resource, scopes):
            in_scope = None
            for record in getattr(scope, records):
                if size and size + record.ByteSize() > _MESSAGE_BYTES:
                    yield part.SerializeToString()
                    part, size, in_resource, in_scope = kind.request(), 0, None, None
                if in_resource is None:
                    in_resource = getattr(part, resources).add(
                        resource=resource.resource, schema_url=resource.schema_url
                    )
                    size += resource.resource.ByteSize()
                if in_scope is None:
                    in_scope = getattr(in_resource, scopes).add(
                        scope=scope.scope, schema_url=scope.schema_url
                    )
                    size += scope.scope.ByteSize()
                getattr(in_scope, records).append(record)
                size += record.ByteSize() + _FRAME_BYTES
    yield part.SerializeToString()


def _left_out(kind: _Signal, answer: bytes) -> str:
    """Return what a server says of the records that it has not taken, nothing if it has taken all."""
    try:
        partial = kind.response.FromString(answer).partial_success
    except DecodeError:
        # It has taken them, whatever it says.
        return ""
    return partial.error_message or str(partial) if partial.ListFields() else ""


def enriched(body: bytes, found: Enrichment) -> bytes:
    """Return a trace request with attributes added to its spans; those that a span has stay as they are."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        # Text that is not UTF-8: the next one may be as lenient as we are.
        return body
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                row = found.get((span.trace_id.hex(), span.span_id.hex()))
                if row is not None:
                    _add(span, dict(_attributes(row)))
    return request.SerializeToString()


def _attributes(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "tupletrace.tuple.id", row["tuple_id"]
    yield names.ROUTE, row["route"]
    yield "tupletrace.cost.status", row["cost_status"]
    yield "tupletrace.cost.usd", row["cost_usd"]
    yield names.PROMPT_NAME, row["prompt_name"]
    yield names.PROMPT_VERSION, row["prompt_version"]
    yield names.PROMPT_PROVENANCE, row["prompt_provenance"]
    yield names.RETRIEVER_VERSION, row["retriever_version"]
    yield names.TOOLS_VERSION, row["tools_version"]


def _add(span: Span, attributes: Mapping[str, Any]) -> None:
    there = {one.key for one in span.attributes}
    for key, value in attributes.items():
        if value is None or key in there:
            continue
        added = span.attributes.add(key=key)
        if key == "tupletrace.cost.usd":
            added.value.double_value = float(value)
        else:
            added.value.string_value = str(value)
