"""Messages and tool definitions in the conventions' form; called only where content may be captured."""

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.util.genai.types import (
    FunctionToolDefinition,
    GenericToolDefinition,
    InputMessage,
    MessagePart,
    OutputMessage,
    ReasoningPart,
    TextPart,
    ToolCallRequestPart,
    ToolCallResponsePart,
    ToolDefinition,
)

from tupletrace.instrumentors.llama_index.templates import message_role, message_text
from tupletrace.semconv.fingerprint import tool_signature


def as_input(messages: Any) -> list[InputMessage]:
    """Return chat messages, or the one of a completion's prompt."""
    if isinstance(messages, str):
        return [InputMessage("user", [TextPart(messages)])]
    return [InputMessage(message_role(message), _parts(message)) for message in messages]


def as_output(response: Any) -> list[OutputMessage]:
    """Return what the model said."""
    message = getattr(response, "message", None)
    if message is None:
        return [OutputMessage("assistant", [TextPart(str(response.text))])]
    return [OutputMessage(message_role(message), _parts(message))]


def as_tool_definitions(definitions: Iterable[Any]) -> list[ToolDefinition] | None:
    """Return the tools that the model was offered."""
    return [_tool_definition(each) for each in definitions if isinstance(each, Mapping)] or None


def _tool_definition(definition: Mapping[str, Any]) -> ToolDefinition:
    signature = tool_signature(definition)
    if "name" not in signature:
        return GenericToolDefinition(name=str(definition.get("type")), type=str(definition.get("type")))
    return FunctionToolDefinition(signature["name"], signature["description"], signature["parameters"])


def _parts(message: Any) -> list[MessagePart]:
    if message_role(message) == "tool":
        call_id = message.additional_kwargs.get("tool_call_id")
        return [ToolCallResponsePart(response=message_text(message), id=call_id)]
    return [part for block in message.blocks if (part := _part(block)) is not None]


def _part(block: Any) -> MessagePart | None:
    kind = getattr(block, "block_type", None)
    if kind == "text":
        return TextPart(block.text)
    if kind == "thinking":
        return ReasoningPart(block.content or "")
    if kind == "tool_call":
        return ToolCallRequestPart(arguments=block.tool_kwargs, name=block.tool_name, id=block.tool_call_id)
    return None
