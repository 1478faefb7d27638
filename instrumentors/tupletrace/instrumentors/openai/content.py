"""Messages as the semantic conventions shape them; read only where content is captured."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.util.genai.invocation import InferenceInvocation
from opentelemetry.util.genai.types import (
    FunctionToolDefinition,
    GenericToolDefinition,
    InputMessage,
    TextPart,
    ToolCallResponsePart,
    ToolDefinition,
)
from opentelemetry.util.genai.utils import object_to_any_value

from tupletrace.instrumentors.openai.fields import field, items, text
from tupletrace.instrumentors.openai.parts import message_parts
from tupletrace.instrumentors.openai.request import Params
from tupletrace.instrumentors.openai.response_items import item_message


def chat_content(invocation: InferenceInvocation, params: Params) -> None:
    """Set input messages and tool definitions of a chat completion."""
    invocation.input_messages = [_chat_input(message) for message in items(params.get("messages"))]
    invocation.tool_definitions = tool_definitions(params)


def responses_content(invocation: InferenceInvocation, params: Params) -> None:
    """Set input messages, system instructions, prompt variables and tool definitions of a response."""
    given = params.get("input")
    if isinstance(given, str):
        invocation.input_messages = [InputMessage("user", [TextPart(given)])]
    else:
        invocation.input_messages = [InputMessage(*item_message(item)) for item in items(given)]
    instructions = text(params.get("instructions"))
    invocation.system_instruction = [TextPart(instructions)] if instructions else []
    invocation.tool_definitions = tool_definitions(params)
    variables = field(params, "prompt", "variables")
    invocation.prompt_variables = variables if isinstance(variables, Mapping) else None


def completion_content(invocation: InferenceInvocation, params: Params) -> None:
    """Set the prompts of a legacy completion; token lists are no text."""
    prompt = params.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else items(prompt)
    invocation.input_messages = [
        InputMessage("user", [TextPart(item)]) for item in prompts if isinstance(item, str)
    ]


def tool_definitions(params: Params) -> list[ToolDefinition] | None:
    """Return the tools that the model was offered."""
    tools = [*items(params.get("tools")), *items(params.get("functions"))]
    return [_tool_definition(tool) for tool in tools] or None


def _chat_input(message: Any) -> InputMessage:
    role, name = text(field(message, "role")) or "user", text(field(message, "name"))
    if role in ("tool", "function"):
        content = object_to_any_value(field(message, "content"))
        part = ToolCallResponsePart(content, text(field(message, "tool_call_id")))
        return InputMessage("tool", [part], name)
    return InputMessage(role, message_parts(message), name)


def _tool_definition(tool: Any) -> ToolDefinition:
    kind = text(field(tool, "type")) or "function"
    body = field(tool, kind) or tool
    name = text(field(body, "name")) or kind
    if kind != "function":
        return GenericToolDefinition(name, kind)
    parameters = object_to_any_value(field(body, "parameters"))
    return FunctionToolDefinition(name, text(field(body, "description")), parameters)
