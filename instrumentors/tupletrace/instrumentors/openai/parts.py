"""Parts of a message: text, thoughts, tool calls; of chat messages and of response items alike."""

import json
from typing import Any, Final

from opentelemetry.util.genai.types import MessagePart, ReasoningPart, TextPart, ToolCallRequestPart
from opentelemetry.util.genai.utils import object_to_any_value

from tupletrace.instrumentors.openai.fields import field, items, known, text
from tupletrace.instrumentors.openai.media import media_part

_REASONING: Final = ("reasoning_content", "reasoning")
"""Where DeepSeek and vLLM, and where OpenRouter and Groq, put the model's thoughts."""
_SAID: Final = ("text", "refusal", "transcript")


def message_parts(message: Any) -> list[MessagePart]:
    """Return the parts of a chat message, sent or answered."""
    said = known(message)
    thoughts = next((found for name in _REASONING if (found := text(said.get(name)))), None)
    parts: list[MessagePart] = [ReasoningPart(thoughts)] if thoughts else []
    spoken = field(said.get("audio"), "transcript")
    for content in (said.get("content"), said.get("refusal"), spoken, said.get("images")):
        parts += content_parts(content)
    parts += [_tool_call(call) for call in items(said.get("tool_calls"))]
    legacy = said.get("function_call")
    if legacy is not None:
        parts.append(_tool_call({"function": legacy}))
    return parts


def content_parts(content: Any) -> list[MessagePart]:
    """Return the parts of a message's ``content``: a string, or a list of texts, images, audio, files."""
    if isinstance(content, str):
        return [TextPart(content)] if content else []
    return [part for item in items(content) if (part := _content_part(item)) is not None]


def parsed(arguments: Any) -> Any:
    """Return a tool call's arguments as JSON values; what is no JSON stays text."""
    if isinstance(arguments, str):
        try:
            return json.loads(arguments)
        except ValueError:
            return arguments
    return object_to_any_value(arguments)


def _content_part(item: Any) -> MessagePart | None:
    thought = field(item, "thinking")
    if thought is None and field(item, "type") == "reasoning":  # Databricks
        thought = field(item, "summary")
    if thought is not None:
        said = text(thought) or "".join(text(field(part, "text")) or "" for part in items(thought))
        return ReasoningPart(said) if said else None
    said = (
        item
        if isinstance(item, str)
        else next((found for name in _SAID if (found := text(field(item, name)))), None)
    )
    return TextPart(said) if said is not None else media_part(item)


def _tool_call(call: Any) -> ToolCallRequestPart:
    function, custom = field(call, "function"), field(call, "custom")
    given = field(function, "arguments") if custom is None else field(custom, "input")
    arguments = parsed(given) if custom is None else object_to_any_value(given)
    name = text(field(function if custom is None else custom, "name")) or ""
    return ToolCallRequestPart(arguments, name, text(field(call, "id")))
