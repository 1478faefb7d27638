"""POST /v1/chat/completions."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import chat_messages, checks, formats, tools
from .answers import Ask
from .checks import Json
from .engine import Answer, answer, answering_tier, check_model_limits, fail_on_demand, new_id, pieces
from .errors import ApiError, unsupported_parameter
from .models import Model, find
from .usage import PrefixCache

EFFORTS = checks.one_of("none", "minimal", "low", "medium", "high")
_FIELDS: dict[str, checks.Check] = {
    "messages": checks.array,
    "model": checks.string,
    "frequency_penalty": checks.number(-2, 2),
    "logit_bias": checks.mapping,
    "logprobs": checks.boolean,
    "max_completion_tokens": checks.integer(),
    "max_tokens": checks.integer(),
    "metadata": checks.metadata,
    "modalities": checks.array,
    "n": checks.integer(1, 128),
    "parallel_tool_calls": checks.boolean,
    "prediction": checks.mapping,
    "presence_penalty": checks.number(-2, 2),
    "prompt_cache_key": checks.string,
    "prompt_cache_retention": checks.one_of("in_memory", "24h"),
    "reasoning_effort": EFFORTS,
    "response_format": checks.mapping,
    "safety_identifier": checks.string,
    "seed": checks.integer(-(2**63), 2**63),
    "service_tier": checks.one_of("auto", "default", "flex", "priority"),
    "stop": checks.stops,
    "store": checks.boolean,
    "stream": checks.boolean,
    "stream_options": checks.mapping,
    "temperature": checks.number(0, 2),
    "tool_choice": lambda param, value: None,
    "tools": checks.array,
    "top_logprobs": checks.integer(0, 20),
    "top_p": checks.number(0, 1),
    "user": checks.string,
    "verbosity": checks.one_of("low", "medium", "high"),
}
_STREAM_OPTIONS: dict[str, checks.Check] = {
    "include_usage": checks.boolean,
    "include_obfuscation": checks.boolean,
}


@dataclass(frozen=True)
class Completion:
    """A finished answer, ready to be sent at once or in chunks."""

    answer: Answer
    choices: int
    include_usage: bool
    head: Json
    """What every body and chunk begins with."""
    call_ids: list[list[str]]
    """The ids of the tool calls of each choice."""

    @property
    def finish_reason(self) -> str:
        """Why the model stopped."""
        return "length" if self.answer.cut else "tool_calls" if self.answer.reply.calls else "stop"

    def body(self) -> Json:
        """The whole completion."""
        choices = [
            {
                "index": index,
                "message": self._message(index),
                "logprobs": None,
                "finish_reason": self.finish_reason,
            }
            for index in range(self.choices)
        ]
        return {**self.head, "object": "chat.completion", "choices": choices, "usage": self._usage()}

    def chunks(self) -> Iterator[Json]:
        """The completion as a stream; usage comes in a last chunk of its own, when asked for."""
        for index in range(self.choices):
            for delta in self._deltas(index):
                yield self._chunk(index, delta)
            yield self._chunk(index, {}, self.finish_reason)
        if self.include_usage:
            yield {**self.head, "object": "chat.completion.chunk", "choices": [], "usage": self._usage()}

    def _usage(self) -> Json:
        return self.answer.count.times(self.choices).chat()

    def _calls(self, index: int) -> list[Json]:
        return [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, (name, arguments) in zip(self.call_ids[index], self.answer.reply.calls, strict=True)
        ]

    def _message(self, index: int) -> Json:
        reply = self.answer.reply
        message: Json = {"role": "assistant", "content": None if reply.calls else reply.text, "refusal": None}
        return message | ({"tool_calls": self._calls(index)} if reply.calls else {"annotations": []})

    def _deltas(self, index: int) -> Iterator[Json]:
        reply = self.answer.reply
        first: Json = {"role": "assistant", "content": None if reply.calls else "", "refusal": None}
        for position, call in enumerate(self._calls(index)):
            arguments: str = call["function"]["arguments"]
            opening = {**call, "index": position, "function": {**call["function"], "arguments": ""}}
            yield (first if position == 0 else {}) | {"tool_calls": [opening]}
            for piece in pieces(arguments):
                yield {"tool_calls": [{"index": position, "function": {"arguments": piece}}]}
        if not reply.calls:
            yield first
            yield from ({"content": piece} for piece in pieces(reply.text))

    def _chunk(self, index: int, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self.include_usage else {}
        return {**self.head, "object": "chat.completion.chunk", "choices": [choice], **usage}


def complete(body: Json, cache: PrefixCache) -> Completion:
    """Check a request as the API would, and answer it."""
    model = find(body.get("model"), "chat", "reasoning")
    checks.fields(body, _FIELDS, required=("messages", "model"))
    _check_combinations(body)
    effort: str | None = body.get("reasoning_effort")
    check_model_limits(model, body, effort, "reasoning_effort")
    turns = chat_messages.parse(body["messages"])
    offered = tools.parse(body.get("tools"), flat=False)
    wanted = formats.parse(body.get("response_format"), turns, param="response_format", flat=False)
    ask = Ask(
        turns,
        offered,
        tools.choice(body.get("tool_choice"), offered, flat=False),
        tools.parallel(body.get("parallel_tool_calls"), offered),
        wanted.schema,
        wanted.json_mode,
    )
    fail_on_demand(model, body.get("metadata"))
    return _completion(body, model, ask, effort, cache)


def _completion(body: Json, model: Model, ask: Ask, effort: str | None, cache: PrefixCache) -> Completion:
    stop: Any = body.get("stop") or []
    answered = answer(
        ask,
        model,
        cache,
        effort=effort,
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=[stop] if isinstance(stop, str) else stop,
        prompt={"messages": body["messages"], "tools": body.get("tools")},
    )
    head: Json = {
        "id": new_id("chatcmpl-"),
        "created": int(time.time()),
        "model": model.answering,
        "service_tier": answering_tier(body),
        "system_fingerprint": model.system_fingerprint,
    }
    choices = body.get("n") or 1
    call_ids = [[new_id("call_") for _ in answered.reply.calls] for _ in range(choices)]
    include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    return Completion(answered, choices, include_usage, head, call_ids)


def _check_combinations(body: Json) -> None:
    options: Json | None = body.get("stream_options")
    if options is not None:
        if not body.get("stream"):
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise ApiError(message, param="stream_options")
        checks.fields(options, _STREAM_OPTIONS, at="stream_options.")
    if body.get("metadata") and not body.get("store"):
        raise ApiError("The 'metadata' parameter is only allowed when 'store' is enabled.", param="metadata")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise ApiError(message, param="top_logprobs")
    if body.get("logprobs"):
        raise unsupported_parameter("logprobs")
    if body.get("modalities", ["text"]) not in (["text"], None):
        raise ApiError("This model does not support the requested output modalities.", param="modalities")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise ApiError(message, param="max_tokens", code="invalid_parameter_combination")
