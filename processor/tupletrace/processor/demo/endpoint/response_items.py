"""The input items of a response: checked, then read as turns."""

from collections.abc import Callable
from typing import Any

from . import checks
from .answers import Call, Role, Turn
from .checks import Json
from .errors import ApiError, invalid_value, missing_parameter

_INPUT_PARTS = ("input_text", "input_image", "input_file")
_OUTPUT_PARTS = ("output_text", "refusal")
_PLAIN: dict[str, checks.Check] = {"type": checks.string, "id": checks.string, "status": checks.string}
_FIELDS: dict[str, dict[str, checks.Check]] = {
    "message": {
        **_PLAIN,
        "role": checks.string,
        "content": lambda param, value: None,
        "phase": checks.string,
    },
    "function_call": {**_PLAIN, "call_id": checks.string, "name": checks.name, "arguments": checks.string},
    "function_call_output": {**_PLAIN, "call_id": checks.string, "output": lambda param, value: None},
    "reasoning": {
        **_PLAIN,
        "summary": checks.array,
        "content": checks.array,
        "encrypted_content": checks.string,
    },
    "item_reference": _PLAIN,
}
_REQUIRED = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "reasoning": ("id", "summary"),
    "item_reference": ("id",),
}
_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}


def parse(value: Any, find_item: Callable[[str], Json | None]) -> list[Json]:
    """The checked items of ``input``, a text or a list; references are replaced by what they point to."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not isinstance(value, list):
        raise checks.wrong_type("input", "one of a string or array of input items", value)
    return [_item(f"input[{index}]", item, find_item) for index, item in enumerate(value)]


def _item(at: str, item: Any, find_item: Callable[[str], Json | None]) -> Json:
    checks.mapping(at, item)
    kind: str = item.get("type") or "message"
    if kind not in _FIELDS:
        raise invalid_value(f"{at}.type", kind, tuple(_FIELDS))
    checks.fields(item, _FIELDS[kind], required=_REQUIRED[kind], at=f"{at}.")
    if kind == "message":
        _check_message(at, item)
    if kind == "item_reference":
        found = find_item(item["id"])
        if found is None:
            raise ApiError(f"Item with id '{item['id']}' not found.", param="input", status=404)
        return found
    return item


def _check_message(at: str, item: Json) -> None:
    role: str = item["role"]
    if role not in _ROLES:
        raise invalid_value(f"{at}.role", role, tuple(_ROLES))
    content: Any = item["content"]
    if isinstance(content, str):
        return
    checks.array(f"{at}.content", content)
    supported = _OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS
    for index, part in enumerate(content):
        checks.mapping(f"{at}.content[{index}]", part)
        if part.get("type") not in supported:
            raise invalid_value(f"{at}.content[{index}].type", part.get("type"), supported)
        if part["type"].endswith("_text") and not isinstance(part.get("text"), str):
            raise missing_parameter(f"{at}.content[{index}].text")


def check_calls(items: list[Json]) -> None:
    """Every function call has its output, and every output its call before it."""
    called: set[str] = set()
    answered: set[str] = set()
    for item in items:
        if item.get("type") == "function_call":
            called.add(item["call_id"])
        elif item.get("type") == "function_call_output":
            if item["call_id"] not in called:
                message = f"No tool call found for function call output with call_id {item['call_id']}."
                raise ApiError(message, param="input")
            answered.add(item["call_id"])
    if unanswered := sorted(called - answered):
        raise ApiError(f"No tool output found for function call {unanswered[0]}.", param="input")


def turns(items: list[Json]) -> list[Turn]:
    """The items as the answering rule reads them; reasoning says nothing to it."""
    return [turn for item in items if (turn := _as_turn(item))]


def _as_turn(item: Json) -> Turn | None:
    match item.get("type") or "message":
        case "message":
            return Turn(_ROLES[item["role"]], _text(item["content"]))
        case "function_call":
            return Turn("assistant", calls=(Call(item["call_id"], item["name"], item["arguments"]),))
        case "function_call_output":
            return Turn("tool", _text(item["output"]), call_id=item["call_id"])
        case _:
            return None


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if "text" in part)
