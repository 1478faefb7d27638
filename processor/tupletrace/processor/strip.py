"""Requests of the journal without the traces that are due, or without what was said in them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute
from google.protobuf.message import DecodeError

from tupletrace.processor import content, kept, telling, wire
from tupletrace.processor.events import EVALUATION
from tupletrace.processor.journal_file import Request

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_LEVELS: Final = {
    wire.TRACES: ("resource_spans", "scope_spans", "spans"),
    wire.LOGS: ("resource_logs", "scope_logs", "log_records"),
}
CREDIBLE_UNIX_NANO: Final = 1_546_300_800_000_000_000
"""2019: nothing that OpenTelemetry has recorded is older; the clock of who says so is not set."""
_RESPONSE: Final = b"gen_ai.response.id"
"""By which a record of no trace says what it is about."""
_TRACES: Final = "SELECT DISTINCT trace_id FROM asked WHERE trace_id IN (FROM due)"
_ALIVE: Final = "SELECT DISTINCT trace_id FROM spans WHERE trace_id IN (FROM asked)"
_RESPONSES: Final = (
    "SELECT response_id FROM spans WHERE response_id IN (FROM asked) AND trace_id IN (FROM due)"
)
_STORED: Final = "SELECT trace_id, span_id FROM spans WHERE journal_seq BETWEEN $first AND $last"
ROWS: Final = """
    SELECT spans.* REPLACE (
        coalesce(input_hash, left(md5(input_messages), 8)) AS input_hash,
        coalesce(calls.estimated_input_tokens, spans.estimated_input_tokens) AS estimated_input_tokens,
        coalesce(calls.estimated_output_tokens, spans.estimated_output_tokens) AS estimated_output_tokens,
        coalesce(calls.estimated_by, spans.estimated_by) AS estimated_by
    )
    FROM spans
    LEFT JOIN settled_llm_calls AS calls
        ON calls.trace_id = spans.trace_id
        AND calls.span_id = spans.span_id
        AND calls.start_time = spans.start_time
        AND calls.settled_seq >= $first
        AND calls.estimated_by IS NOT NULL
    WHERE spans.journal_seq BETWEEN $first AND $last AND spans.trace_id IN (FROM due)
    ORDER BY spans.journal_seq
"""
"""Rows of due spans, with what was estimated and so much of the question that two can be told apart."""


class Ask(Protocol):
    """Answers SQL about the temporary table ``due``."""

    def __call__(self, sql: str, asked: pa.Table | None = None, **values: Any) -> pa.Table:
        """Answer; ``asked`` is a table of that name."""
        ...


@dataclass(slots=True)
class Dropped:
    """How much was dropped; ``undecodable``: requests that nobody can read, which went whole."""

    traces: int = 0
    spans: int = 0
    log_records: int = 0
    undecodable: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What is dropped of the traces in the temporary table ``due``, and what beside them."""

    content_only: bool = False
    before_unix_nano: int | None = None
    """What no stored trace has goes too if it is of a time before this."""
    about: Mapping[bytes, frozenset[bytes]] = field(default_factory=dict[bytes, frozenset[bytes]])
    """What has an attribute of these with one of its values goes too, if it is of no trace that is stored."""


class Strip:
    """Takes what is due out of requests, and counts log records."""

    def __init__(self, ask: Ask, rule: Rule, last: int, dropped: Dropped) -> None:
        """Work up to request ``last``: what came after it is not in the database yet."""
        self._ask, self._rule, self._last, self._dropped = ask, rule, last, dropped

    def __call__(self, requests: list[Request]) -> list[Request]:
        """Return the requests as they are to be kept; without a body where nothing is left."""
        later = [request for request in requests if request.seq > self._last]
        requests = requests[: len(requests) - len(later)]
        if not requests:
            return later
        parsed = [(request, _parsed(request)) for request in requests]
        within = {"first": requests[0].seq, "last": requests[-1].seq}
        ids = {record.trace_id for request, message in parsed for record in _records(request.signal, message)}
        due = self._among(_TRACES, ids)
        stored = set[tuple[bytes, bytes]]() if self._rule.before_unix_nano is None else self._stored(within)
        rows = self._rows(within) if due and self._rule.content_only else {}
        return [
            self._spans(request, message, due, stored, rows.get(request.seq, []))
            if request.signal == wire.TRACES and message is not None
            else self._logs(request, message, due)
            if request.signal == wire.LOGS and message is not None
            else self._points(request)
            if request.signal == wire.METRICS and self._rule.before_unix_nano is None
            else self._other(request)
            for request, message in parsed
        ] + later

    def _spans(
        self,
        request: Request,
        message: Any,
        due: set[bytes],
        stored: set[tuple[bytes, bytes]],
        rows: list[dict[str, Any]],
    ) -> Request:
        before = self._rule.before_unix_nano or 0
        found = list(_records(request.signal, message))
        unstored = [span for span in found if span.trace_id not in due and self._is_about(span.attributes)]
        alive = self._among(_ALIVE, {span.trace_id for span in unstored}) if unstored else set[bytes]()
        due = due | {span.trace_id for span in unstored} - alive

        def goes(span: Any) -> bool:
            # What was delivered again, or left out by a stage, is not stored under this request.
            began = _believed(request, span.start_time_unix_nano)
            again = began < before and (span.trace_id, span.span_id) not in stored
            return span.trace_id in due or again

        if not _taken(request.signal, message, goes):
            return request
        if rows:
            message.MergeFromString(kept.traces(rows))
        return replace(request, body=message.SerializeToString())

    def _logs(self, request: Request, message: Any, due: set[bytes]) -> Request:
        records = list(_records(request.signal, message))
        homeless = {record.trace_id for record in records} - due
        alive = self._among(_ALIVE, homeless) if self._rule.before_unix_nano is not None else set[bytes]()
        answers = {_response(record) for record in records if not record.trace_id} - {b""}
        judged = self._answered(answers) if answers else set[bytes]()
        before = self._rule.before_unix_nano or 0

        def goes(record: Any) -> bool:
            if record.trace_id in due or (not record.trace_id and _response(record) in judged):
                return True
            if self._is_about(record.attributes):
                return True
            time = _believed(request, record.time_unix_nano or record.observed_time_unix_nano)
            return record.trace_id not in alive and time < before

        gone = wire.LOOSE_REQUESTS[wire.LOGS].FromString(request.body)
        if not (taken := _taken(request.signal, message, goes)):
            return request
        _taken(request.signal, gone, lambda record: not goes(record))
        left = self._judging(gone) if self._rule.content_only else []
        self._dropped.log_records += taken - len(left)
        if left:
            message.MergeFromString(kept.logs(left))
        return replace(request, body=message.SerializeToString())

    def _points(self, request: Request) -> Request:
        """Take out the data points of whom is forgotten, and the exemplars of due traces."""
        message = _readable(request)
        if message is None:
            return self._other(request)
        measured = [point for metric in _metrics(message) for point in _data(metric)]
        ids = {one.trace_id for point in measured for one in getattr(point, "exemplars", ())}
        due = self._among(_TRACES, ids)

        def goes(exemplar: Any) -> bool:
            return exemplar.trace_id in due or self._is_about(exemplar.filtered_attributes)

        for metric in _metrics(message):
            _keep(_data(metric), lambda point: not self._is_about(point.attributes))
            for point in _data(metric):
                if hasattr(point, "exemplars"):
                    _keep(point.exemplars, lambda one: not goes(one))
        body = message.SerializeToString()
        return request if len(body) == len(request.body) else replace(request, body=body)

    def _is_about(self, attributes: Iterable[Any]) -> bool:
        about = self._rule.about
        return bool(about) and any(
            one.value.string_value in about[one.key] for one in attributes if one.key in about
        )

    def _other(self, request: Request) -> Request:
        if request.damage is not None or not request.body:
            return request
        before = self._rule.before_unix_nano
        if request.signal not in _LEVELS:
            goes = not self._rule.content_only and before is not None and request.received_unix_nano < before
        else:
            goes = self._mentioned(request) if before is None else request.received_unix_nano < before
            self._dropped.undecodable += goes
        return replace(request, body=b"") if goes else request

    def _mentioned(self, request: Request) -> bool:
        due = self._ask("SELECT trace_id FROM due")["trace_id"].to_pylist()
        return any(bytes.fromhex(trace) in request.body for trace in due)

    def _judging(self, gone: Any) -> list[dict[str, Any]]:
        """Return the evaluations among log records, without what explains them."""
        records = telling.decoded([gone.SerializeToString()])
        return content.without(records.filter(pc.equal(records["name"], EVALUATION)))[0].to_pylist()

    def _among(self, sql: str, ids: set[bytes]) -> set[bytes]:
        asked = pa.table({"trace_id": pa.array([one.hex() for one in ids if one], pa.string())})
        return {bytes.fromhex(one) for one in self._ask(sql, asked)["trace_id"].to_pylist()}

    def _answered(self, answers: set[bytes]) -> set[bytes]:
        asked = pa.table({"response_id": [one.decode(errors="replace") for one in answers]})
        return {one.encode() for one in self._ask(_RESPONSES, asked)["response_id"].to_pylist()}

    def _stored(self, within: dict[str, int]) -> set[tuple[bytes, bytes]]:
        found = self._ask(_STORED, **within)
        ids = zip(found["trace_id"].to_pylist(), found["span_id"].to_pylist(), strict=True)
        return {(bytes.fromhex(trace), bytes.fromhex(span)) for trace, span in ids}

    def _rows(self, within: dict[str, int]) -> dict[int, list[dict[str, Any]]]:
        rows = content.without(self._ask(ROWS, **within))[0].to_pylist()
        return {seq: list(of) for seq, of in groupby(rows, lambda row: row["journal_seq"])}


def _believed(request: Request, unix_nano: int) -> int:
    return unix_nano if unix_nano >= CREDIBLE_UNIX_NANO else request.received_unix_nano


def _parsed(request: Request) -> Any:
    """Return the message of a request that has records of traces, None if it has none or cannot be read."""
    return _readable(request) if request.signal in _LEVELS else None


def _readable(request: Request) -> Any:
    if request.damage is not None:
        return None
    try:
        return wire.LOOSE_REQUESTS[request.signal].FromString(request.body)
    except DecodeError:
        return None


def _records(signal: str, message: Any) -> Iterator[Any]:
    if message is not None:
        resources, scopes, records = _LEVELS[signal]
        for resource in getattr(message, resources):
            for scope in getattr(resource, scopes):
                yield from getattr(scope, records)


def _metrics(message: Any) -> Iterator[Any]:
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


def _data(metric: Any) -> Any:
    """Return the data points of a metric, of whichever kind it is."""
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else []


def _taken(signal: str, message: Any, goes: Callable[[Any], bool]) -> int:
    """Take records out of a message, and what then is empty; return how many."""
    resources, scopes, records = _LEVELS[signal]
    count = 0
    for resource in getattr(message, resources):
        for scope in getattr(resource, scopes):
            found = getattr(scope, records)
            left = [record for record in found if not goes(record)]
            if len(left) < len(found):
                count += len(found) - len(left)
                del found[:]
                found.extend(left)
    if count:
        for resource in getattr(message, resources):
            _keep(getattr(resource, scopes), lambda scope: getattr(scope, records))
        _keep(getattr(message, resources), lambda resource: getattr(resource, scopes))
    return count


def _keep(found: Any, has: Callable[[Any], Any]) -> None:
    left = [one for one in found if has(one)]
    del found[:]
    found.extend(left)


def _response(record: Any) -> bytes:
    return _said(record, _RESPONSE)


def _said(record: Any, key: bytes) -> bytes:
    return next((one.value.string_value for one in record.attributes if one.key == key), b"")
