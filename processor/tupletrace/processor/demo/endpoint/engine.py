"""What both APIs share: limits of a model, failures on demand, and the counted answer."""

import uuid
from dataclasses import dataclass
from typing import Literal

from .answers import Ask, Reply, reply
from .checks import Json
from .errors import ApiError, unsupported_parameter
from .models import Model
from .usage import Count, PrefixCache, prompt_tokens, reasoning_tokens, tokens

_NOT_FOR_REASONING = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
_NEVER_FOR_REASONING = ("logprobs", "top_logprobs", "logit_bias", "stop")


@dataclass(frozen=True)
class Answer:
    """A reply with what it cost; cut when it hit the limit of output tokens."""

    reply: Reply
    count: Count
    cut: bool = False


def new_id(prefix: str) -> str:
    """An id in the API's shape."""
    return prefix + uuid.uuid4().hex


def check_model_limits(model: Model, body: Json, effort: str | None, effort_param: str) -> None:
    """Reject what this model does not take."""
    if model.kind == "reasoning":
        if body.get("max_tokens") is not None:
            raise unsupported_parameter("max_tokens", "max_completion_tokens")
        for param in _NEVER_FOR_REASONING:
            if body.get(param) is not None:
                raise unsupported_parameter(param)
        for param, only in _NOT_FOR_REASONING.items():
            if body.get(param, only) not in {only, None}:
                message = (
                    f"Unsupported value: '{param}' does not support {body[param]} with this model. "
                    f"Only the default ({only}) value is supported."
                )
                raise ApiError(message, param=param, code="unsupported_value")
        if effort == "minimal" and not model.asked.startswith("gpt-5"):
            raise ApiError(
                f"Unsupported value: '{effort_param}' does not support 'minimal' with this model.",
                param=effort_param,
                code="unsupported_value",
            )
    elif effort is not None or body.get("verbosity") is not None:
        raise unsupported_parameter(effort_param if effort is not None else "verbosity")
    if body.get("service_tier") == "flex" and model.kind != "reasoning":
        raise ApiError("Flex is not available for this model.", param="service_tier", code="invalid_value")


def answering_tier(body: Json) -> Literal["default", "flex", "priority"]:
    """The service tier that a request is answered with."""
    tier = body.get("service_tier")
    return tier if tier in {"flex", "priority"} else "default"


def fail_on_demand(model: Model, metadata: Json | None) -> None:
    """``metadata={"fail": "rate_limit" | "server_error"}`` makes the request fail as on a bad day."""
    match (metadata or {}).get("fail"):
        case "rate_limit":
            message = (
                f"Rate limit reached for {model.asked} in organization org-demo on requests per min (RPM): "
                "Limit 3, Used 3, Requested 1. Please try again in 5ms."
            )
            headers = {"retry-after-ms": "5"}
            raise ApiError(message, code="rate_limit_exceeded", status=429, kind="requests", headers=headers)
        case "server_error":
            message = "The server had an error while processing your request. Sorry about that!"
            raise ApiError(message, status=500, kind="server_error", headers={"retry-after-ms": "5"})
        case _:
            return


def answer(
    ask: Ask,
    model: Model,
    cache: PrefixCache,
    *,
    effort: str | None,
    limit: int | None,
    stop: list[str],
    prompt: Json,
) -> Answer:
    """The answer to a checked request, cut at its stop sequences and at its limit of output tokens."""
    said = reply(ask)
    for mark in stop:
        said = Reply(said.text.split(mark)[0], said.calls)
    reasoning = reasoning_tokens(model, effort, ask.question)
    visible = tokens(said.text + "".join(name + arguments for name, arguments in said.calls))
    room = max(0, limit - reasoning) if limit is not None else len(visible)
    cut = len(visible) > room
    if cut:
        said = Reply(_first(said.text, room))
    seen = prompt_tokens(prompt["messages"], prompt["tools"])
    spent = min(reasoning, limit) if limit is not None else reasoning
    count = Count(len(seen), cache.cached(model, seen), spent + min(len(visible), room), spent)
    return Answer(said, count, cut)


def _first(text: str, room: int) -> str:
    end = 0
    for token in tokens(text)[:room]:
        end = text.index(token, end) + len(token)
    return text[:end]


def pieces(text: str) -> list[str]:
    """A text as it is streamed: word by word, spaces kept."""
    found: list[str] = []
    for word in text.split(" "):
        found.append(word if not found else f" {word}")
    return [piece for piece in found if piece]
