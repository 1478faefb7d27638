# pyright: reportPrivateUsage=false
"""Inferences, embeddings and workflows that tell what util-genai's tell, for less: only what was said."""

from dataclasses import is_dataclass
from timeit import default_timer
from typing import Any, Final

from opentelemetry.context import Context, attach, get_value
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.util.genai._conversation_context import get_ambient_conversation_id, with_conversation_id
from opentelemetry.util.genai._inference_invocation import _should_emit_event
from opentelemetry.util.genai._invocation import get_content_attributes
from opentelemetry.util.genai._workflow_invocation import WorkflowData
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import (
    CLIENT_EMBEDDING_CONTEXT_KEY,
    CLIENT_INFERENCE_CONTEXT_KEY,
    EmbeddingData,
    EmbeddingInvocation,
    Error,
    InferenceData,
    InferenceInvocation,
    WorkflowInvocation,
)
from opentelemetry.util.genai.types import ContentCapturingMode, ErrorTypeResolver
from opentelemetry.util.genai.utils import _GenAiJsonEncoder
from opentelemetry.util.genai.version import __version__ as util_genai

from tupletrace.instrumentors.facts import CONTENT, FACTS
from tupletrace.semconv import names

_KNOWN: Final = util_genai.startswith("1.3")
"""Whether this is the util-genai whose inside is known here; any other is left to itself."""
_ON_SPAN: Final = (ContentCapturingMode.SPAN_ONLY, ContentCapturingMode.SPAN_AND_EVENT)


class _Encoder(_GenAiJsonEncoder):
    def default(self, o: Any) -> Any:
        return vars(o) if is_dataclass(o) and not isinstance(o, type) else super().default(o)


_json: Final = _Encoder(separators=(",", ":"))


class Telemetry(TelemetryHandler):
    """A handler whose calls cost less; one within another is util-genai's own, which makes no span."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.emits_event = _should_emit_event(self._content_capturing_mode)
        self.captures = self.should_capture_content()
        self.captures_on_span = self._content_capturing_mode in _ON_SPAN

    def inference(self, provider: str, **options: Any) -> InferenceInvocation:
        """Start an inference; see ``TelemetryHandler``."""
        if not _KNOWN or get_value(CLIENT_INFERENCE_CONTEXT_KEY, options.get("context")) is not None:
            return super().inference(provider, **options)
        return _Inference(self, provider, **options)

    def embedding(self, provider: str, **options: Any) -> EmbeddingInvocation:
        """Start an embedding; see ``TelemetryHandler``."""
        if not _KNOWN or get_value(CLIENT_EMBEDDING_CONTEXT_KEY, options.get("context")) is not None:
            return super().embedding(provider, **options)
        return _Embedding(self, provider, **options)

    def workflow(self, name: str | None = None, **options: Any) -> WorkflowInvocation:
        """Start a workflow; see ``TelemetryHandler``."""
        return _Workflow(self, name, **options) if _KNOWN else super().workflow(name, **options)


class _Lean:
    """What both have of their handler, and how their span begins; the rest of their bases is left out."""

    _start_span = True
    _finished = False
    _request_stream = _ttfc_seconds = _stream_last_chunk_at = None
    # Their handler's answer, in place of the bases' properties, which are asked several times a call.
    should_capture_content = _should_capture_content_on_span = False

    def _tell_through(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._tracer = telemetry._tracer
        self._instruments = telemetry._instruments
        self._logger = telemetry._logger
        self._completion_hook = telemetry._completion_hook
        self._content_capturing_mode = telemetry._content_capturing_mode
        if telemetry.captures:
            self.should_capture_content = True
            self._should_capture_content_on_span = telemetry.captures_on_span

    def _begin(
        self,
        title: str,
        kind: SpanKind,
        start: dict[str, Any],
        context: Context | None,
        conversation_id: str | None,
        attached: bool,
        **around: Any,
    ) -> None:
        """Start the span with its first attributes; its context holds what is ``around``, too."""
        self._start_attributes = start
        self.conversation_id = conversation_id or get_ambient_conversation_id(context)
        if self.conversation_id:
            context = with_conversation_id(self.conversation_id, context)
        self.span = self._tracer.start_span(title, kind=kind, attributes=start, context=context)
        self._span_context = Context(set_span_in_context(self.span, context), **around)
        self._attach_to_context = attached
        self._context_token = attach(self._span_context) if attached else None
        self._monotonic_start_s = default_timer()


class _Said:
    """Holds what was said; the rest is None by the class of data."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.metric_attributes: dict[str, Any] = {}


class _Inferred(_Said, InferenceData): ...


class _Embedded(_Said, EmbeddingData): ...


_NOTHING_SAID: Final = len(vars(_Said()))


class _Call(_Lean):
    """A call that a model answers."""

    _operation_name: str
    _context_key: Any

    def _ask(
        self,
        data: Any,
        provider: str,
        request_model: str | None,
        server_address: str | None,
        server_port: int | None,
        context: Context | None,
        conversation_id: str | None,
        attached: bool,
    ) -> None:
        """Start the span with what is known of the call, and take up what calls within it will say."""
        operation = self._operation_name
        data.provider_name = provider
        self.attributes, self.metric_attributes = data.attributes, data.metric_attributes
        start: dict[str, Any] = {names.OPERATION_NAME: operation, names.PROVIDER_NAME: provider}
        if request_model is not None:
            data.request_model = start[names.REQUEST_MODEL] = request_model
        if server_address is not None:
            data.server_address = start["server.address"] = server_address
        if server_port is not None:
            data.server_port = start["server.port"] = server_port
        title = f"{operation} {request_model}" if request_model else operation
        within = {self._context_key: type(data)()}
        self._begin(title, SpanKind.CLIENT, start, context, conversation_id, attached, **within)

    def _said_within(self, kind: Any) -> Any:
        """Return what calls within this one said, if they did."""
        inner: Any = self._span_context.get(self._context_key)
        said = isinstance(inner, kind) and (len(vars(inner)) > _NOTHING_SAID or inner.attributes)
        return inner if said else None

    def _facts(self, data: Any) -> dict[str, Any]:
        """Return what was said since the start, as attributes."""
        start = self._start_attributes
        return {
            attribute: value
            for fact, value in vars(data).items()
            if value is not None and (attribute := FACTS.get(fact)) is not None and attribute not in start
        }


class _Inference(_Call, InferenceInvocation):
    """An outermost inference: as the base in all that it says, to span, metrics, event and hook."""

    _context_key = CLIENT_INFERENCE_CONTEXT_KEY
    _dataclass_class_object = _Inferred
    _of_chunks: tuple[str | None, dict[str, Any]] | None = None
    """The model that is answering, and the metric attributes of its chunks."""

    def __init__(
        self,
        telemetry: Telemetry,
        provider: str,
        *,
        request_model: str | None = None,
        server_address: str | None = None,
        server_port: int | None = None,
        operation_name: str | None = None,
        error_type_resolver: ErrorTypeResolver | None = None,
        context: Context | None = None,
        _attach_to_context: bool = True,
        conversation_id: str | None = None,
    ) -> None:
        self._tell_through(telemetry)
        self._emit_event = telemetry.emits_event
        self._error_type_resolver = error_type_resolver
        self._operation_name = operation_name or "chat"
        data = self.data = _Inferred()
        data.operation_name = self._operation_name
        self._ask(
            data,
            provider,
            request_model,
            server_address,
            server_port,
            context,
            conversation_id,
            _attach_to_context,
        )

    def _on_stream_chunk(self, chunk_at: float) -> None:
        latest = self._stream_last_chunk_at
        if latest is None:
            super()._on_stream_chunk(chunk_at)
            return
        self._stream_last_chunk_at = chunk_at
        answering = self.data.response_model
        if self._of_chunks is None or self._of_chunks[0] != answering:
            self._of_chunks = answering, self._get_metric_attributes()
        self._instruments.time_per_output_chunk.record(
            max(chunk_at - latest, 0.0), attributes=self._of_chunks[1], context=self._span_context
        )

    def _apply_finish(self, error: Error | None = None) -> None:
        if error is not None:
            self._apply_error_attributes(error)
        if (inner := self._said_within(InferenceData)) is not None:
            self.enrich_from_context(inner)
        data = self.data
        if self.conversation_id:
            data.conversation_id = self.conversation_id
        if self._request_stream is not None:
            data.request_stream = self._request_stream
        data.response_finish_reasons = self._get_finish_reasons()
        data.conversation_compacted = data.conversation_compacted or None
        attributes = self._facts(data)
        if self._should_capture_content_on_span:
            attributes |= self._content()
        self.span.set_attributes(attributes | self.attributes)
        self._record_client_metrics()
        event = self._maybe_create_event() if self._emit_event else None
        if self.should_capture_content:
            self._call_completion_hook(
                inputs=self.input_messages,
                outputs=self.output_messages,
                system_instruction=self.system_instruction,
                tool_definitions=self.tool_definitions,
                log_record=event,
            )
        if event is not None:
            self._logger.emit(event)

    def _get_metric_token_counts(self) -> dict[str, int]:
        counts = {"input": self.data.usage_input_tokens, "output": self.data.usage_output_tokens}
        return {kind: tokens for kind, tokens in counts.items() if tokens is not None}

    def _content(self) -> dict[str, str]:
        """Return messages, instructions, tools and prompt variables as JSON."""
        # The base's own way copies every part of every message before it writes it.
        said = vars(self.data)
        content = {
            attribute: _json.encode(value) for fact, attribute in CONTENT.items() if (value := said.get(fact))
        }
        if self.prompt_variables:
            content |= get_content_attributes(
                input_messages=(),
                output_messages=(),
                system_instruction=(),
                tool_definitions=None,
                prompt_variables=self.prompt_variables,
                for_span=True,
                content_capturing_mode=self._content_capturing_mode,
            )
        return content


class _Embedding(_Call, EmbeddingInvocation):
    """An outermost embedding: as the base in all that it says, to span and metrics."""

    _context_key = CLIENT_EMBEDDING_CONTEXT_KEY
    _dataclass_class_object = _Embedded
    _error_type_resolver = None
    _operation_name = "embeddings"

    def __init__(
        self,
        telemetry: Telemetry,
        provider: str,
        *,
        request_model: str | None = None,
        server_address: str | None = None,
        server_port: int | None = None,
        context: Context | None = None,
        _attach_to_context: bool = True,
    ) -> None:
        self._tell_through(telemetry)
        self._data = _Embedded()
        self._ask(
            self._data,
            provider,
            request_model,
            server_address,
            server_port,
            context,
            None,
            _attach_to_context,
        )

    def _apply_finish(self, error: Error | None = None) -> None:
        if error is not None:
            self._apply_error_attributes(error)
        if (inner := self._said_within(EmbeddingData)) is not None:
            self.enrich_from_context(inner)
        self.span.set_attributes(self._facts(self._data) | self.attributes)
        self._record_client_metrics()


class _Workflow(_Lean, WorkflowInvocation):
    """A workflow: as the base in all that it says, to span, metric and hook."""

    _context_key = _dataclass_class_object = None
    _error_type_resolver = None
    _operation_name = "invoke_workflow"

    def __init__(
        self,
        telemetry: Telemetry,
        name: str | None,
        *,
        context: Context | None = None,
        _attach_to_context: bool = True,
        conversation_id: str | None = None,
    ) -> None:
        self._tell_through(telemetry)
        self._name = name
        data = self._data = WorkflowData(workflow_name=name)
        self.attributes, self.metric_attributes = data.attributes, data.metric_attributes
        start: dict[str, Any] = {names.OPERATION_NAME: self._operation_name}
        if name is not None:
            start["gen_ai.workflow.name"] = name
        title = f"{self._operation_name} {name}" if name else self._operation_name
        self._begin(title, SpanKind.INTERNAL, start, context, conversation_id, _attach_to_context)

    def _apply_finish(self, error: Error | None = None) -> None:
        if error is not None:
            self._apply_error_attributes(error)
        attributes: dict[str, Any] = {}
        if self.conversation_id:
            attributes[names.CONVERSATION_ID] = self.conversation_id
        if self._should_capture_content_on_span:
            if self.input_messages:
                attributes[names.INPUT_MESSAGES] = _json.encode(self.input_messages)
            if self.output_messages:
                attributes[names.OUTPUT_MESSAGES] = _json.encode(self.output_messages)
        self.span.set_attributes(attributes | self.attributes)
        if self.should_capture_content:
            self._call_completion_hook(inputs=self.input_messages, outputs=self.output_messages)
        self._record_metrics()
