"""POST /v1/responses, GET /v1/responses/{id} and POST /v1/conversations."""

import time
from typing import Any

from . import checks, formats, response_body, response_items, tools
from .answers import Ask
from .chat import EFFORTS
from .checks import Json
from .engine import Answer, answer, check_model_limits, fail_on_demand, new_id
from .errors import ApiError, missing_parameter
from .models import Model, find
from .usage import PrefixCache

_FIELDS: dict[str, checks.Check] = {
    "background": checks.boolean,
    "conversation": lambda param, value: None,
    "include": checks.array,
    "input": lambda param, value: None,
    "instructions": checks.string,
    "max_output_tokens": checks.integer(16),
    "max_tool_calls": checks.integer(),
    "metadata": checks.metadata,
    "model": checks.string,
    "parallel_tool_calls": checks.boolean,
    "previous_response_id": checks.string,
    "prompt": checks.mapping,
    "prompt_cache_key": checks.string,
    "prompt_cache_retention": checks.one_of("in_memory", "24h"),
    "reasoning": checks.mapping,
    "safety_identifier": checks.string,
    "service_tier": checks.one_of("auto", "default", "flex", "priority"),
    "store": checks.boolean,
    "stream": checks.boolean,
    "stream_options": checks.mapping,
    "temperature": checks.number(0, 2),
    "text": checks.mapping,
    "tool_choice": lambda param, value: None,
    "tools": checks.array,
    "top_p": checks.number(0, 1),
    "truncation": checks.one_of("auto", "disabled"),
    "user": checks.string,
}
_REASONING: dict[str, checks.Check] = {
    "effort": EFFORTS,
    "summary": checks.one_of("auto", "concise", "detailed"),
    "generate_summary": checks.one_of("auto", "concise", "detailed"),
}
_TEXT: dict[str, checks.Check] = {
    "format": checks.mapping,
    "verbosity": checks.one_of("low", "medium", "high"),
}
_PROMPT: dict[str, checks.Check] = {
    "id": checks.string,
    "version": checks.string,
    "variables": checks.mapping,
}
_PROMPT_MODEL = "gpt-4.1"
"""A stored prompt names its model; this is the one that ours name."""


class Responses:
    """The responses and conversations of one endpoint, and their answers."""

    def __init__(self, cache: PrefixCache) -> None:
        self._cache = cache
        self._stored: dict[str, tuple[Json, list[Json]]] = {}
        self._conversations: dict[str, list[Json]] = {}

    def create(self, body: Json) -> Json:
        """Check a request as the API would, and answer it."""
        model = find(
            body.get("model") or (_PROMPT_MODEL if body.get("prompt") else None), "chat", "reasoning"
        )
        checks.fields(body, _FIELDS)
        _check_nested(body)
        reasoning: Json = body.get("reasoning") or {}
        text: Json = body.get("text") or {}
        limits = {**body, "verbosity": text.get("verbosity")}
        check_model_limits(
            model, limits, reasoning.get("effort") or reasoning.get("summary"), "reasoning.effort"
        )
        items = [*self._history(body), *response_items.parse(_given_input(body), self._find_item)]
        response_items.check_calls(items)
        ask = _ask(body, items, text)
        fail_on_demand(model, body.get("metadata"))
        answered = self._answer(body, model, ask, items)
        response = response_body.build(body, model, ask, answered)
        self._keep(body, response, items)
        return response

    def get(self, response_id: str) -> Json:
        """A response that was stored."""
        if response_id not in self._stored:
            raise ApiError(f"Response with id '{response_id}' not found.", status=404)
        return self._stored[response_id][0]

    def delete(self, response_id: str) -> Json:
        """Forget a response."""
        self.get(response_id)
        del self._stored[response_id]
        return {"id": response_id, "object": "response", "deleted": True}

    def create_conversation(self, body: Json) -> Json:
        """A new conversation, which later responses can name."""
        allowed: dict[str, checks.Check] = {"items": checks.array, "metadata": checks.metadata}
        checks.fields(body, allowed)
        conversation = new_id("conv_")
        self._conversations[conversation] = response_items.parse(body.get("items") or [], self._find_item)
        return {
            "id": conversation,
            "object": "conversation",
            "created_at": int(time.time()),
            "metadata": body.get("metadata") or {},
        }

    def _history(self, body: Json) -> list[Json]:
        previous: str | None = body.get("previous_response_id")
        if previous is not None:
            if body.get("conversation") is not None:
                message = "'previous_response_id' cannot be used together with 'conversation'."
                raise ApiError(message, param="previous_response_id", code="mutually_exclusive_parameters")
            if previous not in self._stored:
                message = f"Previous response with id '{previous}' not found."
                raise ApiError(message, param="previous_response_id", code="previous_response_not_found")
            return self._stored[previous][1]
        conversation = response_body.conversation_id(body)
        if conversation is None:
            return []
        if conversation not in self._conversations:
            raise ApiError(f"Conversation with id '{conversation}' not found.", status=404)
        return self._conversations[conversation]

    def _find_item(self, item_id: str) -> Json | None:
        known = [items for _, items in self._stored.values()] + list(self._conversations.values())
        return next((item for items in known for item in items if item.get("id") == item_id), None)

    def _answer(self, body: Json, model: Model, ask: Ask, items: list[Json]) -> Answer:
        reasoning: Json = body.get("reasoning") or {}
        plain = [{key: value for key, value in item.items() if key != "status"} for item in items]
        return answer(
            ask,
            model,
            self._cache,
            effort=reasoning.get("effort"),
            limit=body.get("max_output_tokens"),
            stop=[],
            prompt={
                "messages": [body.get("instructions"), body.get("prompt"), plain],
                "tools": body.get("tools"),
            },
        )

    def _keep(self, body: Json, response: Json, items: list[Json]) -> None:
        after = [*items, *response["output"]]
        if response["store"]:
            self._stored[response["id"]] = (response, after)
        if (conversation := response_body.conversation_id(body)) is not None:
            self._conversations[conversation] = after


def _given_input(body: Json) -> Any:
    given = body.get("input")
    if given is None and body.get("prompt") is not None:
        return []
    if given is None:
        raise missing_parameter("input")
    return given


def _check_nested(body: Json) -> None:
    checks.fields(body.get("reasoning") or {}, _REASONING, at="reasoning.")
    checks.fields(body.get("text") or {}, _TEXT, at="text.")
    if (prompt := body.get("prompt")) is not None:
        checks.fields(prompt, _PROMPT, required=("id",), at="prompt.")
        if not prompt["id"].startswith("pmpt_"):
            raise ApiError(f"Prompt with id '{prompt['id']}' not found.", param="prompt.id", status=404)
    if body.get("stream_options") is not None:
        if not body.get("stream"):
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise ApiError(message, param="stream_options")
        checks.fields(body["stream_options"], {"include_obfuscation": checks.boolean}, at="stream_options.")
    if body.get("background"):
        raise ApiError(
            "Background responses are not served here.", param="background", code="unsupported_value"
        )


def _ask(body: Json, items: list[Json], text: Json) -> Ask:
    turns = response_items.turns(items)
    instructions = {"type": "message", "role": "developer", "content": body.get("instructions") or ""}
    turns = response_items.turns([instructions]) + turns
    offered = tools.parse(body.get("tools") or None, flat=True)
    wanted = formats.parse(text.get("format"), turns, param="text.format", flat=True)
    return Ask(
        turns,
        offered,
        tools.choice(body.get("tool_choice"), offered, flat=True),
        body.get("parallel_tool_calls") is not False,
        wanted.schema,
        wanted.json_mode,
    )
