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
"""Calls that the provider never makes itself."""
_GIVEN: Final = ("arguments", "input", "action", "actions", "operation")
_ANSWERED: Final = ("output", "result", "tools")


def item_message(item: Any) -> tuple[str, list[MessagePart]]:
    """Return role and parts of one item."""
    kind = text(field(item, "type")) or "message"
    if kind == "message":
        return text(field(item, "role")) or "user", content_parts(field(item, "content"))
    # What it was told, without the fields that a model adds.
    said = item.to_dict() if isinstance(item, BaseModel) else item
    if kind.endswith("_output"):
        output = object_to_any_value(_first(said, _ANSWERED))
        return "tool", [ToolCallResponsePart(output, text(field(said, "call_id")))]
    return "assistant", _assistant_parts(kind, said)


def is_tool_call(item: Any) -> bool:
    """Say whether the program is asked to run a tool and to come back with its output."""
    match text(field(item, "type")):
        case "shell_call":
            return field(item, "environment", "type") != "container_reference"
        case "tool_search_call":
            return field(item, "execution") == "client"
        case kind:
            return kind in _PROGRAM_S


def _assistant_parts(kind: str, item: Any) -> list[MessagePart]:
    name = text(field(item, "name")) or kind.removesuffix("_call")
    if is_tool_call(item):
        given = _first(item, _GIVEN)
        arguments = object_to_any_value(given) if kind == "custom_tool_call" else parsed(given)
        return [ToolCallRequestPart(arguments, name, text(field(item, "call_id")))]
    if kind == "reasoning":
        thoughts = [*items(field(item, "summary")), *items(field(item, "content"))]
        return [ReasoningPart(said) for thought in thoughts if (said := text(field(thought, "text")))]
    if kind == "compaction":
        return [CompactionPart(text(field(item, "id")))]
    if kind.endswith("_call") or kind in ("mcp_list_tools", "program"):
        return [ServerToolCallPart(name, object_to_any_value(item), text(field(item, "id")))]
    return []


def _first(item: Any, wanted: tuple[str, ...]) -> Any:
    return next((found for name in wanted if (found := field(item, name)) is not None), None)
