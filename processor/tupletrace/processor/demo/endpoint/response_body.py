"""The body of a response."""

import time
from typing import Any

from .answers import Ask
from .checks import Json
from .engine import Answer, answering_tier, new_id
from .models import Model

_ECHOED = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "safety_identifier",
    "user",
)


def conversation_id(body: Json) -> str | None:
    """The conversation that a request names."""
    given: Any = body.get("conversation")
    return given.get("id") if isinstance(given, dict) else given


def build(body: Json, model: Model, ask: Ask, answered: Answer) -> Json:
    """The answer to a request, with the request's settings in it as the API echoes them."""
    reasoning: Json = body.get("reasoning") or {}
    text: Json = body.get("text") or {}
    effort = "medium" if model.kind == "reasoning" else None
    conversation = conversation_id(body)
    stored = body.get("store")
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if answered.cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if answered.cut else None,
        **{key: body.get(key) for key in _ECHOED},
        "model": model.answering,
        "output": _output(answered, model, asked_for_summary=bool(reasoning.get("summary"))),
        "parallel_tool_calls": ask.parallel,
        "reasoning": {"effort": reasoning.get("effort") or effort, "summary": reasoning.get("summary")},
        "service_tier": answering_tier(body),
        "store": stored is not False,
        "temperature": body.get("temperature", 1.0),
        "text": {
            "format": text.get("format") or {"type": "text"},
            "verbosity": text.get("verbosity") or "medium",
        },
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [
            {"strict": True, "description": None, "parameters": None, **tool}
            for tool in body.get("tools") or []
        ],
        "top_logprobs": 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation") or "disabled",
        "usage": answered.count.responses(),
        "metadata": body.get("metadata") or {},
        **({"conversation": {"id": conversation}} if conversation else {}),
    }


def _output(answered: Answer, model: Model, *, asked_for_summary: bool) -> list[Json]:
    output: list[Json] = []
    if model.kind == "reasoning":
        thought = "I looked for what the question needs and took the shortest way to it."
        summary = [{"type": "summary_text", "text": thought}] if asked_for_summary else []
        output.append({"id": new_id("rs_"), "type": "reasoning", "summary": summary})
    status = "incomplete" if answered.cut else "completed"
    for name, arguments in answered.reply.calls:
        call = {"id": new_id("fc_"), "type": "function_call", "status": status, "call_id": new_id("call_")}
        output.append(call | {"name": name, "arguments": arguments})
    if not answered.reply.calls:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": answered.reply.text}
        message = {"id": new_id("msg_"), "type": "message", "status": status, "role": "assistant"}
        output.append(message | {"content": [part]})
    return output
