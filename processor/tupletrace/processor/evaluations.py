"""Evaluations as JSON, in the shapes of several vendors -> OTLP log records ``gen_ai.evaluation.result``.

Understood are our own names (see ``FIELDS``), in snake or camel case, flat or nested, and with them the
annotations of Phoenix, scores of Langfuse, assessments of MLflow, feedback of LangSmith. One object, a list
of them, or an object that holds such a list.
"""

import hashlib
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tupletrace.processor.refusal import MalformedRequest
from tupletrace.semconv import names
from tupletrace.semconv.fingerprint import fingerprint

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "id": ("evaluation_id", "score_id", "assessment_id", "feedback_id", "annotation_id", "id"),
    "trace_id": ("trace_id", "context.trace_id"),
    "span_id": ("span_id", "context.span_id", "observation_id", "run_id"),
    "conversation_id": ("conversation_id", names.CONVERSATION_ID, "thread_id", "session_id"),
    "response_id": ("response_id", names.RESPONSE_ID, "completion_id"),
    "name": (
        "name", "evaluation_name", "assessment_name", "annotation_name", "metric_name", "metric", "criterion",
        "key",
    ),
    "score": (
        "score", "score_value", "result.score", "feedback.value", "value", "rating", "feedback", "thumbs",
        "result",
    ),
    "label": ("label", "score_label", "result.label", "string_value", "value"),
    "passed": ("passed", "pass", "success", "is_pass"),
    "explanation": (
        "explanation", "result.explanation", "comment", "rationale", "reason", "reasoning", "justification",
    ),
    "evaluator_name": (
        "evaluator_name", "evaluator.name", "evaluator", "judge.name", "judge", "scorer_name", "scorer",
        "source.source_id", "source_id", "annotator", "metadata.evaluator_name",
    ),
    "evaluator_version": (
        "evaluator_version", "evaluator.version", "judge.version", "scorer_version",
        "metadata.evaluator_version", "config_id",
    ),
    "evaluator_model": (
        "evaluator_model", "evaluator.model", "judge_model", "judge.model", "metadata.judge_model",
        "metadata.model",
    ),
    "rubric": ("rubric", "evaluator.rubric", "judge.rubric", "metadata.rubric"),
    "rubric_hash": ("rubric_hash", "evaluator.rubric_hash", "judge.rubric_hash", "metadata.rubric_hash"),
    "source": (
        "annotator_kind", "source_type", "source.source_type", "evaluator_kind", "evaluator.kind",
        "feedback_source.type", "source", "kind",
    ),
    "error": (
        "error_type", "error", "error.type", "error.error_code", "feedback.error.error_code", "error_code",
    ),
    "time": ("time", "timestamp", "created_at", "create_time", "create_time_ms", "updated_at", "modified_at"),
}  # fmt: skip
"""Our name of each field, and the names that it may come under, the first that is there counts."""
_SOURCES: Final = {
    "human": {"human", "annotation", "annotator", "app", "user", "end_user", "feedback"},
    "llm": {"llm", "llm_judge", "ai_judge", "model", "eval", "judge"},
    "code": {"code", "heuristic", "programmatic"},
}
_FEEDBACK: Final = ("feedback", "thumbs", "rating")
"""What is under these names alone comes from who uses the program."""
_ATTRIBUTES: Final = {
    "id": names.EVALUATION_ID,
    "conversation_id": names.CONVERSATION_ID,
    "response_id": names.RESPONSE_ID,
    "name": names.EVALUATION_NAME,
    "score": names.EVALUATION_SCORE_VALUE,
    "label": names.EVALUATION_SCORE_LABEL,
    "passed": names.EVALUATION_PASSED,
    "explanation": names.EVALUATION_EXPLANATION,
    "evaluator_name": names.EVALUATOR_NAME,
    "evaluator_version": names.EVALUATOR_VERSION,
    "source": names.EVALUATOR_KIND,
    "error": names.ERROR_TYPE,
}
_SHOWN: Final = 10
"""Of the rows that are wrong, so many are named."""
_TARGETS: Final = ("trace_id", "span_id", "conversation_id", "response_id")
_RESULTS: Final = ("score", "label", "passed", "error")
_TIMES: Final = range(946_684_800 * 10**9, 2**63)
"""Nanoseconds: what was before the year 2000 is a number in another unit, or none of a time."""
_YES_NO: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class NoEvaluation(ValueError):
    """A row says no evaluation; the message says what is missing or wrong."""


def to_protobuf(body: bytes) -> tuple[bytes, int]:
    """Return a JSON body as an OTLP logs request, and how many evaluations it holds.

    Raises:
        MalformedRequest: it is no JSON, or some rows are no evaluations, which are named.
    """
    try:
        made, wrong = read(list(rows(json.loads(body))))
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"send evaluations as JSON, an object or a list of them: {error}") from None
    if wrong:
        raise MalformedRequest(f"nothing was kept; {said(wrong)}")
    return request(made), len(made)


def said(wrong: Sequence[str]) -> str:
    """Return what is wrong with rows in one line; where there are many, with the first of them."""
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return "; ".join(wrong[:_SHOWN]) + more


def rows(found: Any) -> Iterator[Any]:
    """Yield the evaluations in a JSON value, whatever list they are in.

    Raises:
        ValueError: it is no object, and no list.
    """
    if isinstance(found, list):
        for one in found:
            # Langfuse's batches hold envelopes.
            yield one["body"] if isinstance(one, dict) and isinstance(one.get("body"), dict) else one
    elif isinstance(found, dict):
        lists = [value for value in found.values() if _holds_objects(value)]
        if len(lists) == 1:
            yield from rows(lists[0])
        else:
            yield found
    else:
        raise ValueError(f"{type(found).__name__} is neither")


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def read(found: Sequence[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return evaluations by the names of ``FIELDS``, and what is wrong with the rows that are none."""
    made: list[dict[str, Any]] = []
    wrong: list[str] = []
    for number, row in enumerate(found, 1):
        try:
            made.append(evaluation(row))
        except NoEvaluation as error:
            wrong.append(f"row {number}: {error}")
    return made, wrong


def evaluation(row: Any) -> dict[str, Any]:
    """Return one evaluation by the names of ``FIELDS``, without what is not said.

    Raises:
        NoEvaluation: it is none.
    """
    if not isinstance(row, Mapping):
        raise NoEvaluation("an evaluation is an object with a name, what it is of, and a result")
    flat = dict(_flat(row))
    if "run_id" in flat:
        # LangSmith calls a project a session.
        flat.pop("session_id", None)
    one = {field: next((flat[key] for key in keys if key in flat), None) for field, keys in FIELDS.items()}
    _result(one, flat)
    _evaluator(one)
    told = {field: value for field, value in one.items() if value is not None}
    made = {field: _text(field, value) if field in _TEXTS else value for field, value in told.items()}
    _targets(made)
    if "name" not in made:
        raise NoEvaluation("it has no name: say which evaluation it is, for instance correctness")
    if not made.keys() & {*_RESULTS}:
        why = (
            "an expectation is no result"
            if any(key.startswith("expectation") for key in flat)
            else "it has no result"
        )
        raise NoEvaluation(f"{why}: send a score, a label, or passed")
    if "time" in made:
        made["time"] = _nanoseconds(made["time"])
    if "id" not in made and "identifier" in flat:
        target = {key: made.get(key) for key in (*_TARGETS, "name")}
        made["id"] = _id(target | {"identifier": flat["identifier"]})
    elif "id" not in made and "time" not in made:
        made["id"] = _id(made)
    return made


def _id(said_of_it: Mapping[str, Any]) -> str:
    """Return an id that is the same when the same is sent again."""
    canonical = json.dumps(said_of_it, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


_TEXTS: Final = _ATTRIBUTES.keys() - {"score", "passed"} | {"trace_id", "span_id"}


def _flat(row: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        name = above + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(key)).lower().replace("-", "_").replace(
            " ", "_"
        )
        inner = _object(value)
        if inner is not None:
            yield from _flat(inner, f"{name}.")
        elif value is not None and value != "" and not (isinstance(value, float) and math.isnan(value)):
            yield name, value


def _object(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def _result(one: dict[str, Any], flat: Mapping[str, Any]) -> None:
    """Tell a number from a word, wherever either stands."""
    if one["name"] is None:
        one["name"] = next((key for key in _FEEDBACK if key in flat), None)
        one["source"] = one["source"] or ("human" if one["name"] else None)
    said_score, label = one["score"], one["label"]
    if label is said_score:
        label = None
    if isinstance(said_score, list | Mapping):
        raise NoEvaluation(
            f"its score is {json.dumps(said_score, default=str)[:40]}: send a number, true, false or text"
        )
    number = _number(said_score)
    if number is None and said_score is not None:
        label = said_score if label is None or isinstance(label, int | float) else label
    if str(flat.get("data_type", "")).upper() == "CATEGORICAL":
        # The number that Langfuse gives a category is none of the judge's.
        number = None
    one["score"] = number
    one["label"] = None if label is None or (number is not None and _number(label) is not None) else label
    one["error"] = one["error"] or None
    passed = one["passed"]
    if passed is not None and str(passed).lower() not in _YES_NO:
        raise NoEvaluation(f"passed is {passed!r}: send true or false")
    one["passed"] = None if passed is None else _YES_NO[str(passed).lower()]


def _text(field: str, said: Any) -> str:
    try:
        return str(said).encode().decode()
    except UnicodeEncodeError:
        raise NoEvaluation(f"{field} is not text in UTF-8") from None


def _number(said_score: Any) -> float | None:
    try:
        number = float(said_score)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _evaluator(one: dict[str, Any]) -> None:
    """Give the judge a version: the one it says, or its model and the rubric it was given."""
    kind = str(one["source"] or "").lower()
    one["source"] = next((source for source, words in _SOURCES.items() if kind in words), None)
    rubric, model = one.pop("rubric"), one.pop("evaluator_model")
    rubric_hash = one.pop("rubric_hash") or (fingerprint("rubric", rubric) if rubric else None)
    if one["evaluator_version"] is None:
        # A judge that says no more is named after its model.
        known = model or (one["evaluator_name"] if one["source"] == "llm" else None)
        one["evaluator_version"] = "@".join(str(part) for part in (known, rubric_hash) if part) or None


def _targets(made: dict[str, Any]) -> None:
    if not made.keys() & {*_TARGETS}:
        raise NoEvaluation(f"it says not what it is of: send one of {', '.join(_TARGETS)}")
    if "trace_id" in made:
        made["trace_id"] = _hex("trace_id", made["trace_id"].removeprefix("tr-"), 32)
    if "span_id" in made:
        said_id = made["span_id"].removeprefix("0x").replace("-", "")
        # A run of LangSmith: its UUID begins with the id of the span.
        made["span_id"] = _hex("span_id", said_id[:16] if len(said_id) == 32 else said_id, 16)


def _hex(field: str, text: str, digits: int) -> str:
    found = text.removeprefix("0x").replace("-", "").lower()
    if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", found) or not int(found, 16):
        raise NoEvaluation(f"{field} {text[:40]!r} is not {digits} hexadecimal digits")
    return found


def _nanoseconds(moment: Any) -> int:
    """Return a time as nanoseconds; numbers are s, ms, us or ns by their size."""
    try:
        if not isinstance(moment, datetime) and _number(moment) is not None:
            digits = len(str(int(abs(float(moment)))))
            found = int(Decimal(str(moment)).scaleb(9 - 3 * min(max(0, (digits - 9) // 3), 3)))
        else:
            read_as = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
            aware = read_as if read_as.tzinfo else read_as.replace(tzinfo=UTC)
            found = int(aware.timestamp()) * 10**9 + aware.microsecond * 1000
    except (ValueError, ArithmeticError):
        found = 0
    if found not in _TIMES:
        raise NoEvaluation(f"time {str(moment)[:40]!r} is no time: send for instance 2026-03-01T12:00:00Z")
    return found


def request(made: Sequence[Mapping[str, Any]]) -> bytes:
    """Return evaluations as one OTLP logs request."""
    message = ExportLogsServiceRequest()
    scope = message.resource_logs.add().scope_logs.add()
    scope.scope.name = "tupletrace.evaluations"
    now = time.time_ns()
    for one in made:
        record = scope.log_records.add(
            event_name=names.EVALUATION_EVENT,
            time_unix_nano=one.get("time", now),
            observed_time_unix_nano=now,
            trace_id=bytes.fromhex(one.get("trace_id", "")),
            span_id=bytes.fromhex(one.get("span_id", "")),
        )
        record.attributes.extend(
            _attribute(key, one[field]) for field, key in _ATTRIBUTES.items() if field in one
        )
    return message.SerializeToString()


def _attribute(key: str, value: Any) -> KeyValue:
    made = KeyValue(key=key)
    if isinstance(value, bool):
        made.value.bool_value = value
    elif isinstance(value, float):
        made.value.double_value = value
    else:
        made.value.string_value = value
    return made
