"""LLM calls: one inference span a call, streamed or not, whichever method of the LLM makes it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from opentelemetry.context import Context, create_key, get_current, get_value, set_value
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.instrumentors.feeding import write_sources
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import write_tools
from tupletrace.instrumentors.llama_index.answers import Answer, reports
from tupletrace.instrumentors.llama_index.calls import Call, around
from tupletrace.instrumentors.llama_index.content import as_input, as_output, as_tool_definitions
from tupletrace.instrumentors.llama_index.engines import reads_documents
from tupletrace.instrumentors.llama_index.hooks import Family
from tupletrace.instrumentors.llama_index.models import provider_name, request_model, request_settings
from tupletrace.instrumentors.llama_index.prompts import call_prompt, described_tools
from tupletrace.instrumentors.llama_index.sources import sources_of
from tupletrace.instrumentors.llama_index.streams import streamed
from tupletrace.instrumentors.llama_index.templates import message_role, message_text, predicting
from tupletrace.instrumentors.llama_index.trajectory import write_step

_LLM: Final = create_key("tupletrace.llama_index.llm")
_CALLS: Final = tuple(
    f"{prefix}{method}"
    for prefix in ("", "a")
    for method in ("chat", "complete", "stream_chat", "stream_complete")
)
_PREDICTIONS: Final = (
    "predict",
    "apredict",
    "stream",
    "astream",
    "structured_predict",
    "astructured_predict",
)


def family(telemetry: TelemetryHandler) -> Family:
    """Wrap the LLMs."""
    calls = {name: around("llama_index llm", partial(_begin, telemetry, name)) for name in _CALLS}
    predictions = dict.fromkeys(_PREDICTIONS, predicting)
    return Family("llama_index.core.base.llms.base.BaseLLM", {**calls, **predictions})


def _begin(
    telemetry: TelemetryHandler, method: str, llm: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> "LLMCall | None":
    # `complete` may be made of `chat`, and a structured LLM only formats what another one is asked.
    if get_value(_LLM) is llm or type(llm).__module__ == "llama_index.core.llms.structured_llm":
        return None
    settings, around = request_settings(llm, kwargs), get_current()
    invocation = telemetry.inference(
        provider_name(llm),
        request_model=request_model(llm, settings),
        operation_name=_operation(method, llm),
        context=set_value(_LLM, llm, around),
        _attach_to_context=False,
    )
    call = LLMCall(invocation)
    with guard("llama_index llm request"):
        if "stream" in method:
            invocation.request_stream = True
        call.asked(llm, _messages(args, kwargs), settings, around)
    return call


def _operation(method: str, llm: Any) -> str:
    with guard("llama_index llm metadata"):
        if "chat" not in method and not llm.metadata.is_chat_model:
            return "text_completion"
    return "chat"


def _messages(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return args[0] if args else kwargs.get("messages", kwargs.get("prompt"))


class LLMCall(Call[InferenceInvocation]):
    """One request to a model; where the client below is instrumented too, this is the span of both."""

    what = "llama_index llm"

    def __init__(self, invocation: InferenceInvocation) -> None:
        super().__init__(invocation)
        self._answer = Answer()
        self._last: Any = None

    def asked(self, llm: Any, messages: Any, settings: Mapping[str, Any], around: Context) -> None:
        """Write what is asked, of whom, with which prompt and tools."""
        invocation = self.invocation
        _write_settings(invocation, settings)
        definitions = _offered(llm, settings)
        texts = _texts(messages)
        if invocation.should_capture_content:
            invocation.input_messages = as_input(messages if texts else ())
            invocation.tool_definitions = as_tool_definitions(definitions)
        prompt = call_prompt(llm, texts, _schema(settings.get("response_format")))
        write_step(invocation.attributes)
        write_tools(invocation.attributes, definitions or described_tools(texts))
        write_sources(
            invocation.attributes, sources_of([text for _, text in texts], around, read=reads_documents())
        )
        if prompt is not None:
            prompt.write(invocation.attributes, content=self.text_on_span)

    def returned(self, result: Any) -> Any:
        """End the span with the answer, or with the last chunk of it."""
        self.leave()
        with guard("llama_index llm stream"):
            if (stream := streamed(result, self)) is not None:
                return stream
        self.stop(result)
        return result

    def chunk(self, chunk: Any) -> None:
        """Take a chunk that reports something; most only add to the text, which the last one holds."""
        self.invocation.record_stream_chunk()
        if self._last is None or reports(getattr(chunk, "raw", None)):
            self._answer.take(chunk)
        self._last = chunk

    def read(self, result: Any) -> None:
        """Write what the answer reports."""
        response = result if result is not None else self._last
        self._last = None
        if response is not None:
            self._answer.take(response)
            if self.invocation.should_capture_content:
                self.invocation.output_messages = as_output(response)
        self._answer.write(self.invocation)

    def fail(self, error: BaseException | str) -> None:
        """End the span as failed, with what had arrived until then."""
        with guard("llama_index llm result"):
            self.read(None)
        super().fail(error)


def _texts(messages: Any) -> list[tuple[str, str]]:
    if isinstance(messages, str):
        return [("user", messages)]
    # Anything but a sequence may be read only once, and that is the model's to do.
    return [(message_role(m), message_text(m)) for m in messages] if isinstance(messages, Sequence) else []


def _offered(llm: Any, settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the definitions of the tools that are sent along, a provider's own ones included."""
    offered = (settings.get("tools"), getattr(llm, "built_in_tools", None))
    return [
        tool
        for tools in offered
        if isinstance(tools, list | tuple)
        for tool in tools
        if isinstance(tool, Mapping)
    ]


def _write_settings(invocation: InferenceInvocation, settings: Mapping[str, Any]) -> None:
    for name, kind in (("temperature", float | int), ("top_p", float | int), ("seed", int)):
        if isinstance(value := settings.get(name), kind):
            setattr(invocation, name, value)
    limit = settings.get("max_completion_tokens", settings.get("max_tokens"))
    if isinstance(limit, int):
        invocation.max_tokens = limit


def _schema(response_format: Any) -> Any:
    """Return a response format as data; a pydantic model by its JSON schema."""
    schema = getattr(response_format, "model_json_schema", None)
    return schema() if callable(schema) else response_format
