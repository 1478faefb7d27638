"""Items of the Responses API, sent or answered: messages, tool calls and their outputs, thoughts."""

from typing import Any, Final

from openai._models import BaseModel
from opentelemetry.util.genai.types import (
    CompactionPart,
    MessagePart,
    ReasoningPart,
    ServerToolCallPart,
    ToolCallRequestPart,
    ToolCallResponsePart,
)
from opentelemetry.util.genai.utils import object_to_any_value

from tupletrace.instrumentors.openai.fields import field, items, text
from tupletrace.instrumentors.openai.parts import content_parts, parsed

_PROGRAM_S: Final = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "apply_patch_call"}
)
"""Calls that the provider does not make itself."""


def item_message(item: Any) -> tuple[str, list[MessagePart]]:
    """Return role and parts of one item."""
    kind = text(field(item, "type")) or "message"
    if kind in ("function_call_output", "custom_tool_call_output"):
        output = object_to_any_value(field(item, "output"))
        return "tool", [ToolCallResponsePart(output, text(field(item, "call_id")))]
    if kind == "message":
        return text(field(item, "role")) or "user", content_parts(field(item, "content"))
    return "assistant", _assistant_parts(kind, item)


def is_tool_call(item: Any) -> bool:
    """Say whether the program is asked to run a tool and to come back with its output."""
    return field(item, "type") in _PROGRAM_S


def _assistant_parts(kind: str, item: Any) -> list[MessagePart]:
    call_id, name = text(field(item, "call_id")), text(field(item, "name")) or ""
    if kind == "function_call":
        return [ToolCallRequestPart(parsed(field(item, "arguments")), name, call_id)]
    if kind == "custom_tool_call":
        return [ToolCallRequestPart(field(item, "input"), name, call_id)]
    if kind == "reasoning":
        thoughts = [*items(field(item, "summary")), *items(field(item, "content"))]
        return [ReasoningPart(said) for thought in thoughts if (said := text(field(thought, "text")))]
    if kind == "compaction":
        return [CompactionPart(text(field(item, "id")))]
    if kind.endswith("_call"):
        call = item.to_dict() if isinstance(item, BaseModel) else item
        name = name or kind.removesuffix("_call")
        return [ServerToolCallPart(name, object_to_any_value(call), text(field(item, "id")))]
    return []
