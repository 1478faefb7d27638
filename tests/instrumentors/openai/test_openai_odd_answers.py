"""What no server of good sense says: whatever stands where, the program sees what it would see without us."""

import copy
import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest

from tupletrace.instrumentors.openai import OpenAIInstrumentor

ODD: list[Any] = [None, -1, 1.5, 2.0, "", "12", True, [], {}, [None], [{}], {"a": 1}, [1, "a"], 10**20]
HAS_RESPONSES = hasattr(openai.OpenAI(api_key="k"), "responses")
EXCHANGES = [
    pytest.param(exchange, id=f"{file.stem}: {exchange['name']}")
    for file in sorted((Path(__file__).parent / "exchanges").glob("*.json"))
    for exchange in json.loads(file.read_text(encoding="utf-8"))
    if ("answer" in exchange or "events" in exchange) and (exchange["call"] != "responses" or HAS_RESPONSES)
]
REQUESTS: dict[str, dict[str, Any]] = {
    "chat.completions": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "b"}],
            },
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "d"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
        "modalities": ["text"],
        "stop": ["e"],
        "temperature": 1,
        "reasoning_effort": "low",
    },
    "responses": {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "shell_call", "call_id": "c", "action": {"commands": []}},
            {"type": "shell_call_output", "call_id": "c", "output": []},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "text": {"format": {"type": "text"}},
        "conversation": "f",
    },
    "completions": {"prompt": ["a"], "stop": "b"},
    "embeddings": {"input": ["a"], "encoding_format": "float", "dimensions": 2},
}


def odd(chance: random.Random, said: Any) -> Any:
    """Return what was said with something else in some places, or with nothing there."""
    said = copy.deepcopy(said)
    for _ in range(chance.randrange(1, 4)):
        around, key = chance.choice([*places(said)] or [({}, "")])
        if isinstance(around, dict) and chance.random() < 0.2:
            around.pop(key, None)
        else:
            around[key] = copy.deepcopy(chance.choice(ODD))
    return said


def places(said: Any) -> Iterator[tuple[Any, Any]]:
    keys = [*said] if isinstance(said, dict) else range(len(said))
    for key in keys:
        yield said, key
        if isinstance(said[key], dict | list):
            yield from places(said[key])


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a9_odd_requests_and_answers_change_nothing_and_are_one_span_each(
    provider: Any, capturing: None, tracer_provider: Any, spans: Any, exchange: dict[str, Any]
) -> None:
    chance = random.Random(exchange["name"])
    for _ in range(4):
        name, request = exchange["call"], odd(chance, REQUESTS[exchange["call"]])
        provider.answers.clear()
        if "events" in exchange:
            said = [exchange.get("head", {}) | one for one in exchange["events"] if isinstance(one, dict)]
            provider.answers_loaded_stream(odd(chance, said))
            outcome = partial(streamed, provider, name, request)
        else:
            provider.answers_json(odd(chance, [exchange["answer"]])[0])
            outcome = partial(answered, provider, name, request)
        before = outcome()

        OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
        try:
            spans.clear()
            assert outcome() == before
            assert len(spans.get_finished_spans()) == len(before)
        finally:
            OpenAIInstrumentor().uninstrument()


def answered(provider: Any, name: str, request: dict[str, Any]) -> list[str]:
    return [
        seen(lambda: resource(provider, name).create(model="m", **request)),
        seen(lambda: resource(provider, name).with_raw_response.create(model="m", **request).text),
    ]


def streamed(provider: Any, name: str, request: dict[str, Any]) -> list[str]:
    def lines() -> list[str]:
        with resource(provider, name).with_streaming_response.create(
            model="m", stream=True, **request
        ) as said:
            return [*said.iter_lines()]

    return [seen(lambda: [*resource(provider, name).create(model="m", stream=True, **request)]), seen(lines)]


def resource(provider: Any, name: str) -> Any:
    found = provider.client()
    for part in name.split("."):
        found = getattr(found, part)
    return found


def seen(do: Any) -> str:
    try:
        return repr(do())
    except Exception as error:  # noqa: BLE001 - whichever it is, it is what the program sees
        return f"{type(error)} {error}"
