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
from tupletrace.instrumentors.langchain.usage import write_token_usage, write_usage
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
_FINISH: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_REASONS: Final = {
    "content_filtered": "content_filter",
    "end_turn": "stop",
    "function_call": "tool_call",
    "guardrail_intervened": "content_filter",
    "max_tokens": "length",
    "safety": "content_filter",
    "stop_sequence": "stop",
    "tool_calls": "tool_call",
    "tool_use": "tool_call",
}
"""A provider's word, in lower case -> the conventions'."""


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
        request_model=metadata.get("ls_model_name") or _first(params, _MODEL),
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
    answers: list[Mapping[str, Any]] = [message.response_metadata or {} for message in messages]
    infos: list[Mapping[str, Any]] = [one.generation_info or {} for one in generations]
    output: Mapping[str, Any] = response.llm_output or {}
    facts = {**output, **(answers[0] if answers else infos[0] if infos else {})}
    invocation.response_model_name = _first(facts, _MODEL)
    invocation.response_id = _response_id(facts, messages)
    reasons = [
        _first(answer, _FINISH) or _first(info, _FINISH)
        for info, answer in zip(infos, answers or infos, strict=False)
    ]
    invocation.finish_reasons = [_REASONS.get(one.lower(), one.lower()) for one in reasons if one] or None
    _write_service(invocation, facts)
    usage = getattr(messages[0], "usage_metadata", None) if messages else None
    if usage:
        write_usage(invocation, usage)
    elif isinstance(counts := output.get("token_usage") or output.get("usage"), Mapping):
        write_token_usage(invocation, counts)
    if invocation.should_capture_content:
        texts = [] if messages else [one.text for one in generations]
        invocation.output_messages = output_messages(messages)
        invocation.output_messages += [OutputMessage("assistant", [TextPart(text)]) for text in texts]


def _write_settings(
    invocation: InferenceInvocation, metadata: Mapping[str, Any], params: Mapping[str, Any]
) -> None:
    invocation.temperature = metadata.get("ls_temperature")
    invocation.max_tokens = metadata.get("ls_max_tokens")
    if stop := metadata.get("ls_stop") or params.get("stop"):
        invocation.stop_sequences = [stop] if isinstance(stop, str) else list(stop)
    for parameter, attribute in _SETTINGS.items():
        value = params.get(parameter)
        if isinstance(value, (int, float, str)):
            setattr(invocation, attribute, value)
    if isinstance(choices := params.get("n"), int) and choices != 1:
        invocation.request_choice_count = choices
    tier = params.get("service_tier")
    if isinstance(tier, str) and tier != "auto":
        invocation.attributes[names.OPENAI_REQUEST_SERVICE_TIER] = tier


def _write_service(invocation: InferenceInvocation, facts: Mapping[str, Any]) -> None:
    if invocation.provider not in ("openai", "azure.ai.openai"):
        return
    for fact, attribute in (
        ("service_tier", names.OPENAI_RESPONSE_SERVICE_TIER),
        ("system_fingerprint", names.OPENAI_SYSTEM_FINGERPRINT),
    ):
        if isinstance(value := facts.get(fact), str) and value:
            invocation.attributes[attribute] = value


def _response_id(facts: Mapping[str, Any], messages: Sequence[Any]) -> str | None:
    if isinstance(found := facts.get("id"), str):
        return found
    own = messages[0].id if messages else None
    # LangChain names messages after the run where the provider gave no id.
    return own if own and not own.startswith(("run-", "lc_run-")) else None


def _first(facts: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    for key in keys:
        found = facts.get(key)
        if isinstance(found, str) and found:
            return found
    return None


def _definition(tool: Mapping[str, Any]) -> ToolDefinition:
    signature = tool_signature(tool)
    if "parameters" not in signature:
        return GenericToolDefinition(name=str(signature.get("type")), type=str(signature.get("type")))
    return FunctionToolDefinition(signature["name"], signature["description"], signature["parameters"])
