"""The messages of a chat completion: checked, then read as turns."""

from typing import Any

from . import checks
from .answers import Call, Role, Turn
from .checks import Json
from .errors import ApiError, empty_array, invalid_value, missing_parameter

_COMMON: dict[str, checks.Check] = {"role": checks.string, "name": checks.name}


def _content(param: str, value: Any) -> None:
    if not isinstance(value, (str, list)):
        raise checks.wrong_type(param, "one of a string or array of objects", value)


_FIELDS: dict[str, dict[str, checks.Check]] = {
    "system": {**_COMMON, "content": _content},
    "developer": {**_COMMON, "content": _content},
    "user": {**_COMMON, "content": _content},
    "assistant": {
        **_COMMON,
        "content": _content,
        "refusal": checks.string,
        "tool_calls": checks.array,
        "annotations": checks.array,
        "audio": checks.mapping,
        "function_call": checks.mapping,
    },
    "tool": {**_COMMON, "content": _content, "tool_call_id": checks.string},
}
_REQUIRED = {"assistant": ("role",), "tool": ("role", "content", "tool_call_id")}
_PARTS = {"user": ("text", "image_url", "input_audio", "file"), "assistant": ("text", "refusal")}
_CALL: dict[str, checks.Check] = {
    "id": checks.string,
    "type": checks.one_of("function"),
    "function": checks.mapping,
    "index": checks.integer(0),
}
_ROLES: dict[str, Role] = {
    "developer": "system",
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def parse(messages: list[Any]) -> list[Turn]:
    """Check every message and that each tool call is answered by the messages that follow it."""
    if not messages:
        raise empty_array("messages")
    turns = [_turn(f"messages[{index}]", message) for index, message in enumerate(messages)]
    _check_calls(turns)
    return turns


def _turn(at: str, message: Any) -> Turn:
    checks.mapping(at, message)
    if "role" not in message:
        raise missing_parameter(f"{at}.role")
    role: str = message["role"]
    if role not in _FIELDS:
        raise invalid_value(f"{at}.role", role, tuple(_FIELDS))
    checks.fields(message, _FIELDS[role], required=_REQUIRED.get(role, ("role", "content")), at=f"{at}.")
    calls = tuple(
        _call(f"{at}.tool_calls[{index}]", call) for index, call in enumerate(message.get("tool_calls") or [])
    )
    content = message.get("content")
    if content is None and role == "assistant" and not calls and not message.get("refusal"):
        raise checks.wrong_type(f"{at}.content", "one of a string or array of objects", None)
    text = content if isinstance(content, str) else _parts(f"{at}.content", content or [], role)
    return Turn(_ROLES[role], text, calls, message.get("tool_call_id") or "")


def _parts(at: str, parts: list[Any], role: str) -> str:
    texts: list[str] = []
    for index, part in enumerate(parts):
        where = f"{at}[{index}]"
        checks.mapping(where, part)
        kind = part.get("type")
        if kind not in (supported := _PARTS.get(role, ("text",))):
            raise invalid_value(f"{where}.type", kind, supported)
        if kind not in part:
            raise missing_parameter(f"{where}.{kind}")
        if kind == "text":
            checks.string(f"{where}.text", part["text"])
            texts.append(part["text"])
    return "\n".join(texts)


def _call(at: str, call: Any) -> Call:
    checks.mapping(at, call)
    checks.fields(call, _CALL, required=("id", "type", "function"), at=f"{at}.")
    function: Json = call["function"]
    shape: dict[str, checks.Check] = {"name": checks.name, "arguments": checks.string}
    checks.fields(function, shape, required=("name", "arguments"), at=f"{at}.function.")
    return Call(call["id"], function["name"], function["arguments"])


def _check_calls(turns: list[Turn]) -> None:
    open_ids: set[str] = set()
    answered: set[str] = set()
    for index, turn in enumerate(turns):
        if turn.role == "tool":
            if turn.call_id not in open_ids | answered:
                message = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    "with 'tool_calls'."
                )
                raise ApiError(message, param=f"messages.[{index}].role")
            open_ids.discard(turn.call_id)
            answered.add(turn.call_id)
            continue
        _check_answered(open_ids, index)
        open_ids, answered = {call.id for call in turn.calls}, set()
    _check_answered(open_ids, len(turns))


def _check_answered(open_ids: set[str], index: int) -> None:
    if open_ids:
        message = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response "
            f"messages: {', '.join(sorted(open_ids))}"
        )
        raise ApiError(message, param=f"messages.[{index}].role")
