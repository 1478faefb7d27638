"""Chat models and LLMs: which model was asked and answered, with what settings and how many tokens."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import InferenceInvocation
from opentelemetry.util.genai.types import (
    FunctionToolDefinition,
    GenericToolDefinition,
    InputMessage,
    OutputMessage,
    TextPart,
    ToolDefinition,
)

from tupletrace.instrumentors.identity import write_tools
from tupletrace.instrumentors.langchain import providers
from tupletrace.instrumentors.langchain.messages import input_messages, output_messages
from tupletrace.instrumentors.langchain.runs import Run
from tupletrace.instrumentors.langchain.settings import without_location
from tupletrace.instrumentors.langchain.usage import usage_among, write_usage
from tupletrace.semconv import names
from tupletrace.semconv.fingerprint import tool_signature

_SETTINGS: Final = {
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "previous_response_id": "previous_response_id",
    "reasoning_effort": "reasoning_level",
}
"""Invocation parameter of a chat model -> property of the inference invocation."""
_MODEL: Final = ("model_name", "model", "model_id")
_ASKED: Final = (*_MODEL, "repo_id", "deployment_name", "model_path")
_FINISH: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_SERVICE: Final = {
    "service_tier": names.OPENAI_RESPONSE_SERVICE_TIER,
    "system_fingerprint": names.OPENAI_SYSTEM_FINGERPRINT,
}
_REASONS: Final = {
    "blocklist": "content_filter",
    "complete": "stop",
    "content_filtered": "content_filter",
    "end_turn": "stop",
    "eos_token": "stop",
    "guardrail_intervened": "content_filter",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "model_length": "length",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "spii": "content_filter",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}
"""A provider's word, in lower case -> OpenAI's, so that a client's own instrumentation says the same."""


def begin(
    telemetry: TelemetryHandler,
    run: Run,
    operation: str,
    serialized: Mapping[str, Any] | None,
    params: Mapping[str, Any],
) -> InferenceInvocation:
    """Start the inference of a model run: at whom it is aimed."""
    metadata = run.metadata
    return telemetry.inference(
        providers.of_model(metadata.get("ls_provider"), serialized or {}),
        request_model=_model_name(metadata.get("ls_model_name") or _first(_ASKED, params)),
        operation_name=operation,
        context=run.context,
        _attach_to_context=False,
        conversation_id=run.conversation,
    )


def describe(
    invocation: InferenceInvocation, metadata: Mapping[str, Any], params: Mapping[str, Any], *, captured: bool
) -> None:
    """Set settings and tools of the request."""
    _write_settings(invocation, metadata, params)
    tools = params.get("tools") or params.get("functions")
    if isinstance(tools, Sequence) and all(isinstance(tool, Mapping) for tool in tools):
        write_tools(invocation.attributes, tools)
        if captured:
            invocation.tool_definitions = [_definition(tool) for tool in tools]


def capture_input(invocation: InferenceInvocation, given: Sequence[Any]) -> None:
    """Set the messages (a chat model's) or text (an LLM's) of the request."""
    texts = [one for one in given if isinstance(one, str)]
    messages = [one for one in given if not isinstance(one, str)]
    invocation.input_messages = [InputMessage("user", [TextPart(text)]) for text in texts]
    invocation.input_messages += input_messages(messages)


def finish(invocation: InferenceInvocation, response: Any) -> None:
    """Set what an ``LLMResult`` tells of the answer."""
    generations = response.generations[0] if response.generations else []
    messages = [message for one in generations if (message := getattr(one, "message", None)) is not None]
    facts: list[Mapping[str, Any]] = []
    reasons: list[str] = []
    for place, one in enumerate(generations):
        said: Mapping[str, Any] = messages[place].response_metadata if len(messages) > place else {}
        info: Mapping[str, Any] = one.generation_info or {}
        facts += (said, info) if not facts else ()
        if reason := _first(_FINISH, said, info):
            reasons.append(_REASONS.get(reason.lower(), reason.lower()))
    output: Mapping[str, Any] = response.llm_output or {}
    # Beside a text it is the model that was asked; which one answered the client may know.
    invocation.response_model_name = _model_name(_first(_MODEL, *facts, *((output,) if messages else ())))
    facts.append(output)
    invocation.response_id = _first(("id",), *facts) or _own_id(messages)
    if reasons:
        invocation.finish_reasons = reasons
    if invocation.provider in ("openai", "azure.ai.openai"):
        for fact, attribute in _SERVICE.items():
            if value := _first((fact,), *facts):
                invocation.attributes[attribute] = value
    usage = getattr(messages[0], "usage_metadata", None) if messages else None
    if usage := usage or usage_among(facts):
        write_usage(invocation, usage)
    if invocation.should_capture_content:
        texts = [] if messages else [one.text for one in generations]
        invocation.output_messages = output_messages(messages)
        invocation.output_messages += [OutputMessage("assistant", [TextPart(text)]) for text in texts]


def _write_settings(
    invocation: InferenceInvocation, metadata: Mapping[str, Any], params: Mapping[str, Any]
) -> None:
    if (temperature := metadata.get("ls_temperature")) is not None:
        invocation.temperature = temperature
    if (most := metadata.get("ls_max_tokens")) is not None:
        invocation.max_tokens = most
    if stop := metadata.get("ls_stop") or params.get("stop"):
        invocation.stop_sequences = [stop] if isinstance(stop, str) else list(stop)
    for parameter in _SETTINGS.keys() & params.keys():
        value = params[parameter]
        if isinstance(value, (int, float, str)):
            setattr(invocation, _SETTINGS[parameter], value)
    if isinstance(choices := params.get("n"), int) and choices != 1:
        invocation.request_choice_count = choices
    tier = params.get("service_tier")
    if isinstance(tier, str) and tier != "auto":
        invocation.attributes[names.OPENAI_REQUEST_SERVICE_TIER] = tier


def _model_name(said: str | None) -> str | None:
    """Return the name of a model, of one in a directory the directory's; an address is none."""
    return None if said is None or "://" in said else without_location(said)


def _own_id(messages: Sequence[Any]) -> str | None:
    own = messages[0].id if messages else None
    # LangChain names messages after the run where the provider gave no id.
    return own if own and not own.startswith(("run-", "lc_run-")) else None


def _first(keys: Sequence[str], *facts: Mapping[str, Any]) -> str | None:
    for said in facts:
        for key in keys:
            found = said.get(key)
            if isinstance(found, str) and found:
                return found
    return None


def _definition(tool: Mapping[str, Any]) -> ToolDefinition:
    signature = tool_signature(tool)
    if "parameters" not in signature:
        return GenericToolDefinition(name=str(signature.get("type")), type=str(signature.get("type")))
    return FunctionToolDefinition(signature["name"], signature["description"], signature["parameters"])
