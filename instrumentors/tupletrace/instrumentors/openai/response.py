"""What was answered: model, id, finish reasons, usage, and the content where it is captured."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.util.genai.invocation import EmbeddingInvocation, InferenceInvocation
from opentelemetry.util.genai.types import MessagePart, OutputMessage, TextPart

from tupletrace.instrumentors.openai.fields import count, field, items, known, text
from tupletrace.instrumentors.openai.parts import message_parts
from tupletrace.instrumentors.openai.prompt import named_prompt
from tupletrace.instrumentors.openai.response_items import is_tool_call, item_message
from tupletrace.instrumentors.openai.usage import first_count, set_usage
from tupletrace.semconv import names

_ECHOED: Final = (
    ("service_tier", names.OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", names.OPENAI_SYSTEM_FINGERPRINT),
)
_EMBEDDED: Final = ("prompt_tokens", "input_tokens", "total_tokens")
"""All that an embedding takes goes in; Voyage says no more than the sum."""
_REMEMBERED: Final = 1024
_told: Final[dict[str, None]] = {}
"""Ids of responses made in the background, and of runs, whose tokens have been told."""
_CODE: Final = re.compile(r"[\w.:/-]{1,64}")
_ENDS: Final = {
    "max_output_tokens": "length",
    "completed": "stop",
    "failed": "error",
    "cancelled": "error",
}
"""Why a response ended, in a completion's words."""
_OF_A_MESSAGE: Final = {"tool_calls": "tool_call", "function_call": "tool_call"}
"""The attribute says what the server said; a message has the conventions' words, which differ in this."""


def describe_completion(invocation: InferenceInvocation, completion: Any) -> None:
    """Set the answer's facts of a chat completion or a legacy completion."""
    said = known(completion)
    _describe(invocation, said)
    choices = items(said.get("choices"))
    reasons = [text(field(choice, "finish_reason")) for choice in choices]
    invocation.finish_reasons = [reason for reason in reasons if reason is not None] or None
    if invocation.should_capture_content:
        invocation.output_messages = [
            OutputMessage("assistant", _choice_parts(choice), _of_a_message(reason))
            for choice, reason in zip(choices, reasons, strict=True)
        ]


def describe_response(invocation: InferenceInvocation, response: Any) -> None:
    """Set the answer's facts of a response."""
    said = known(response)
    _describe(invocation, said)
    if said.get("background") is True and said.get("usage") is not None:
        tells_first(text(said.get("id")))
    if used := said.get("tool_usage"):
        _set_tool_usage(invocation, known(used))
    output = items(said.get("output"))
    reason = response_finish_reason(said, output)
    invocation.finish_reasons = [reason] if reason else None
    if (conversation := text(field(said.get("conversation"), "id"))) is not None:
        invocation.conversation_id = conversation
        invocation.attributes.pop(names.CONVERSATION_ID, None)
    if any(field(item, "type") == "compaction" for item in output):
        invocation.conversation_compacted = True
    echo = named_prompt(said.get("prompt"))
    if echo is not None:
        echo.write(invocation.attributes)
    if invocation.should_capture_content and output:
        invocation.output_messages = output_messages(output, reason)


def output_messages(output: Sequence[Any], reason: str | None) -> list[OutputMessage]:
    """Return the items of a response as one message."""
    parts = [part for item in output for part in item_message(item)[1]]
    return [OutputMessage("assistant", parts, _of_a_message(reason))]


def describe_embeddings(invocation: EmbeddingInvocation, answer: Any) -> None:
    """Set the answer's facts of embeddings."""
    said = known(answer)
    invocation.response_model_name = text(said.get("model"))
    if (identity := text(said.get("id"))) is not None:
        invocation.attributes[names.RESPONSE_ID] = identity
    invocation.input_tokens = first_count(known(said.get("usage")), _EMBEDDED)
    vectors = items(said.get("data"))
    vector = field(vectors[0], "embedding") if vectors else None
    if isinstance(vector, list) and vector:
        invocation.dimension_count = len(vector)
    elif data := text(vector):  # base64 of floats of 4 bytes
        invocation.dimension_count = (len(data) * 3 // 4 - data[-2:].count("=")) // 4


def completion_error(completion: Any) -> str | None:
    """Return the error code that a gateway answers with in place of a completion, under status 200."""
    said = known(completion)
    if error := said.get("error"):
        return _error_code(error)
    if said.get("object") == "error":  # vLLM
        return _error_code(completion)
    choices = items(said.get("choices"))
    if choices and (error := field(choices[0], "error")):  # OpenRouter
        return _error_code(error)
    code = field(said.get("base_resp"), "status_code")  # MiniMax
    return str(code) if type(code) is int and code and not choices else None


def response_error(response: Any) -> str | None:
    """Return the error code of a response that came back as failed."""
    return _error_code(field(response, "error")) if field(response, "status") == "failed" else None


def _error_code(error: Any) -> str:
    for code in (field(error, "code"), field(error, "type")):
        # A word or a number: some servers say in sentences what they did not like.
        if isinstance(code, int | str) and _CODE.fullmatch(str(code)):
            return str(code)
    return "_OTHER"


def _describe(invocation: InferenceInvocation, said: Mapping[str, Any]) -> None:
    invocation.response_id = text(said.get("id"))
    invocation.response_model_name = text(said.get("model"))
    set_usage(invocation, said.get("usage") or field(said.get("x_groq"), "usage"))
    for name, attribute in _ECHOED:
        value = text(said.get(name))
        if value is not None:
            invocation.attributes[attribute] = value
            invocation.metric_attributes[attribute] = value


def _set_tool_usage(invocation: InferenceInvocation, used: Mapping[str, Any]) -> None:
    for tool, told in used.items():
        for name, value in known(told).items():
            if used_up := count(value):  # tools that were not used are counted too
                invocation.attributes[f"{names.TOOL_USAGE}{tool}.{name}"] = used_up


def _choice_parts(choice: Any) -> list[MessagePart]:
    legacy = text(field(choice, "text"))
    return [TextPart(legacy)] if legacy is not None else message_parts(field(choice, "message"))


def response_finish_reason(said: Mapping[str, Any], output: Sequence[Any]) -> str | None:
    """Return why a response ended; None while it has not."""
    status = text(said.get("status"))
    if status == "completed" and any(map(is_tool_call, output)):
        return "tool_calls"
    if status == "incomplete":
        status = text(field(said.get("incomplete_details"), "reason")) or status
    return None if status in ("queued", "in_progress") else finish_reason(status)


def tells_first(identity: str | None) -> bool:
    """Say whether nobody in this process has told the tokens of what outlives the call that made it."""
    if identity is None or identity in _told:
        return False
    if len(_told) >= _REMEMBERED:
        _told.pop(next(iter(_told)), None)
    _told[identity] = None
    return True


def finish_reason(status: str | None) -> str | None:
    """Return how a response or a run ended, in a completion's words."""
    return None if status is None else _ENDS.get(status, status)


def _of_a_message(reason: str | None) -> str | None:
    return None if reason is None else _OF_A_MESSAGE.get(reason, reason)
