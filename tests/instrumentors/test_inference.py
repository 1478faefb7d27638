"""Our calls and workflows say what util-genai's say: to span, metrics, event, hook and context."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import get_current
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import EmbeddingData, Error, InferenceData, InferenceInvocation
from opentelemetry.util.genai.types import (
    BlobPart,
    FunctionToolDefinition,
    InputMessage,
    OutputMessage,
    TextPart,
    ToolCallRequestPart,
)

from tupletrace.instrumentors.inference import Telemetry

TEXTS = st.text(min_size=1, max_size=5)
COUNTS = st.integers(min_value=1, max_value=9)
VALUES: dict[str, Any] = {
    "str | None": TEXTS,
    "int | None": COUNTS,
    "float | None": st.floats(min_value=0.5, max_value=2),
    "bool | None": st.booleans(),
    "list[str] | None": st.lists(TEXTS, max_size=2),
}
# Set at the start, or by the invocation itself.
GIVEN = {"operation_name", "error_type", "provider_name", "request_model", "server_address", "server_port"}
FACTS, EMBEDDED = (
    st.fixed_dictionaries(
        {},
        optional={
            one.name: VALUES[str(one.type)]
            for one in fields(data)
            if str(one.type) in VALUES and one.name not in GIVEN
        },
    )
    for data in (InferenceData, EmbeddingData)
)
ATTRIBUTES = st.dictionaries(TEXTS, TEXTS, max_size=2)
CONTENT: dict[str, Any] = {
    "input_messages": [
        InputMessage("system", [TextPart("Be brief.")]),
        InputMessage("user", [TextPart("ça?"), BlobPart(None, "image", b"\x00\xff")], "Ann"),
    ],
    "output_messages": [
        OutputMessage(
            "assistant", [ToolCallRequestPart({"city": ["Paris", None]}, "find", "call_1")], "tool_call"
        )
    ],
    "system_instruction": [TextPart("Be kind.")],
    "tool_definitions": [FunctionToolDefinition("find", None, {"type": "object"})],
    "prompt_variables": {"city": "Paris", "days": [1, 2]},
}


@dataclass
class Side:
    """One of the two, with all that it told."""

    handler: Callable[..., TelemetryHandler]
    spans: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    logs: InMemoryLogRecordExporter = field(default_factory=InMemoryLogRecordExporter)
    metrics: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    uploads: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def telemetry(self, hooked: bool = False) -> TelemetryHandler:
        tracers, loggers = TracerProvider(), LoggerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        loggers.add_log_record_processor(SimpleLogRecordProcessor(self.logs))
        meters = MeterProvider(metric_readers=[self.metrics])
        hook: Any = self if hooked else None
        return self.handler(
            tracer_provider=tracers, meter_provider=meters, logger_provider=loggers, completion_hook=hook
        )

    def on_completion(self, **kwargs: Any) -> None:
        """Take part as a completion hook."""
        span, event = kwargs.pop("span"), kwargs.pop("log_record")
        self.uploads.append(
            kwargs | {"span": span.name, "event": None if event is None else event.event_name}
        )

    def told(self) -> dict[str, Any]:
        """Return all of it, without times."""
        data: Any = self.metrics.get_metrics_data()
        points = [
            (metric.name, dict(point.attributes), point.explicit_bounds, point.count, _sum(metric, point))
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]
        return {
            "spans": [
                (span.name, span.kind, span.status.status_code, span.status.description, _timeless(span))
                for span in self.spans.get_finished_spans()
            ],
            "events": [
                (log.log_record.event_name, _timeless(log.log_record))
                for log in self.logs.get_finished_logs()
            ],
            "metrics": sorted(points, key=repr),
            "uploads": self.uploads,
        }


def _timeless(said: Any) -> dict[str, Any]:
    return {**said.attributes, "gen_ai.response.time_to_first_chunk": None}


def _sum(metric: Any, point: Any) -> Any:
    return None if metric.unit == "s" else point.sum


def compare(tell: Callable[[TelemetryHandler], object], hooked: bool = False) -> dict[str, Any]:
    """Let both tell the same and return it."""
    ours, theirs = Side(Telemetry), Side(TelemetryHandler)
    for side in (ours, theirs):
        tell(side.telemetry(hooked))
    told = ours.told()
    assert told == theirs.told()
    assert told["spans"]
    return told


@pytest.fixture(params=["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", request.param)
    return request.param


@given(facts=FACTS, attributes=ATTRIBUTES, started=st.booleans(), error=st.none() | TEXTS)
def test_each_fact_is_told_alike(
    facts: dict[str, Any], attributes: dict[str, Any], started: bool, error: str | None
) -> None:
    def tell(telemetry: TelemetryHandler) -> None:
        options: dict[str, Any] = {"request_model": "m", "server_address": "h", "server_port": 1}
        invocation = telemetry.inference("openai", **(options if started else {}))
        vars(invocation.data).update(facts)
        invocation.attributes.update(attributes)
        invocation.metric_attributes.update(attributes)
        if error is None:
            invocation.stop()
        else:
            invocation.fail(Error(message=error, type="E"))

    compare(tell)


@pytest.mark.parametrize("hooked", [False, True])
def test_content_is_told_alike(mode: str, hooked: bool) -> None:
    def tell(telemetry: TelemetryHandler) -> None:
        invocation = telemetry.inference("openai", request_model="m", operation_name="generate_content")
        assert invocation.should_capture_content is (mode != "NO_CONTENT" or hooked)
        for name, value in CONTENT.items():
            setattr(invocation, name, value)
        invocation.stop()

    told = compare(tell, hooked)
    assert ("gen_ai.input.messages" in told["spans"][0][4]) is mode.startswith("SPAN")
    assert len(told["events"]) == mode.endswith("EVENT") + (mode == "EVENT_ONLY")
    assert len(told["uploads"]) == hooked


@given(outer=FACTS, inner=FACTS, attributes=ATTRIBUTES)
def test_what_an_inner_inference_knows_is_told_alike(
    outer: dict[str, Any], inner: dict[str, Any], attributes: dict[str, Any]
) -> None:
    def tell(telemetry: TelemetryHandler) -> None:
        with telemetry.inference("openai", request_model="m") as invocation:
            vars(invocation.data).update(outer)
            with telemetry.inference("azure.ai.openai", server_address="h") as within:
                assert within.span is invocation.span
                vars(within.data).update(inner)
                within.attributes.update(attributes)

    (_,) = compare(tell)["spans"]


@given(outer=EMBEDDED, inner=EMBEDDED, attributes=ATTRIBUTES, started=st.booleans(), error=st.none() | TEXTS)
def test_an_embedding_and_one_within_it_are_told_alike(
    outer: dict[str, Any],
    inner: dict[str, Any],
    attributes: dict[str, Any],
    started: bool,
    error: str | None,
) -> None:
    def tell(telemetry: TelemetryHandler) -> None:
        options: dict[str, Any] = {"request_model": "m", "server_address": "h", "server_port": 1}
        invocation = telemetry.embedding("openai", **(options if started else {}))
        vars(invocation._data).update(outer)
        invocation.attributes.update(attributes)
        with telemetry.embedding("azure.ai.openai", request_model="n") as within:
            assert within.span is invocation.span
            vars(within._data).update(inner)
            within.metric_attributes.update(attributes)
        if error is None:
            invocation.stop()
        else:
            invocation.fail(Error(message=error, type="E"))

    (_,) = compare(tell)["spans"]


def test_a_stream_is_timed_alike() -> None:
    def tell(telemetry: TelemetryHandler) -> None:
        invocation = telemetry.inference("openai", request_model="m", _attach_to_context=False)
        for _ in range(3):
            invocation.record_stream_chunk()
        assert invocation.ttfc_seconds is not None
        invocation.stop()

    names = [metric[0] for metric in compare(tell)["metrics"]]
    assert "gen_ai.client.operation.time_to_first_chunk" in names


def test_a_conversation_is_inherited_alike() -> None:
    def tell(telemetry: TelemetryHandler) -> None:
        with (
            telemetry.workflow("w", conversation_id="c"),
            telemetry.inference("openai"),
            telemetry.embedding("openai"),
        ):
            pass

    told = compare(tell)["spans"]
    assert [span[4].get("gen_ai.conversation.id") for span in told] == [None, "c", "c"]


@pytest.mark.parametrize("attached", [False, True])
def test_the_context_is_the_inference_s_until_it_ends(attached: bool) -> None:
    def tell(telemetry: TelemetryHandler) -> None:
        before = get_current()
        invocation = telemetry.inference("openai", _attach_to_context=attached)
        assert isinstance(invocation, InferenceInvocation)
        assert get_current_span(invocation.context) is invocation.span
        assert (get_current_span() is invocation.span) is attached
        invocation.stop()
        assert get_current() == before
        with invocation.activate():
            assert get_current() == before
        telemetry.inference("openai", context=invocation.context).stop()
        invocation.stop()
        invocation.fail(ValueError())

    assert len(compare(tell)["spans"]) == 2
