"""Recorded exchanges of OpenAI-protocol servers: the facts of each, and a program that sees no difference.

An exchange is data: a row of ``exchanges/*.json``. ``answer`` is a JSON body (or ``body`` another), and
``events`` those of a stream: data upon ``head``, or literal lines. ``facts`` are all attributes that request
and answer say, without their ``gen_ai.``; ``ways`` are those in which the call is made, where not all are.
``output`` is the answer's content, where that is what the exchange is about.
"""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.trace import SpanKind

from tupletrace.instrumentors.openai import OpenAIInstrumentor

FOLDER = Path(__file__).parent / "exchanges"
CLIENT = openai.OpenAI(api_key="k")
"""Says what the installed version has: 1.60 no responses, and its helpers elsewhere."""
EXCHANGES = [
    pytest.param(exchange, id=f"{file.stem}: {exchange['name']}")
    for file in sorted(FOLDER.glob("*.json"))
    for exchange in json.loads(file.read_text(encoding="utf-8"))
    if exchange["call"] != "responses" or hasattr(CLIENT, "responses")
]
FROM_THE_CALL = ("gen_ai.operation.name", "openai.api.type", "server.address", "server.port")
MESSAGES = [{"role": "user", "content": "Capital of France?"}]
REQUESTS: dict[str, dict[str, Any]] = {
    "chat.completions": {"model": "m", "messages": MESSAGES},
    "completions": {"model": "m", "prompt": "Capital of France?"},
    "responses": {"model": "m", "input": "Capital of France?"},
    "embeddings": {"model": "m", "input": "Capital of France?"},
}


def answer(http: Any, exchange: dict[str, Any], asynchronous: bool) -> Any:
    """Return the HTTP response of an exchange."""
    headers = {"x-request-id": "req_1"} | exchange.get("headers", {})
    status = exchange.get("status", 200)
    if "events" not in exchange:
        body = exchange["body"].encode() if "body" in exchange else json.dumps(exchange["answer"]).encode()
        return http.Response(status, content=body, headers={"content-type": "application/json"} | headers)
    pieces = [piece(exchange, event) for event in exchange["events"]]
    if exchange.get("ends", True) and exchange["call"] != "responses":
        pieces.append(b"data: [DONE]\n\n")
    content = asynchronously(pieces) if asynchronous else iter(pieces)
    return http.Response(status, content=content, headers={"content-type": "text/event-stream"} | headers)


def piece(exchange: dict[str, Any], event: Any) -> bytes:
    if isinstance(event, str):
        return event.encode()
    data = exchange.get("head", {}) | event
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


async def asynchronously(pieces: list[bytes]) -> Any:
    for one in pieces:
        yield one


def client(http: Any, exchange: dict[str, Any], asynchronous: bool) -> Any:
    """Return the client that a program of this provider's would have."""

    def sync_answer(request: Any) -> Any:
        return answer(http, exchange, asynchronous=False)

    async def async_answer(request: Any) -> Any:
        return answer(http, exchange, asynchronous=True)

    transport = http.MockTransport(async_answer if asynchronous else sync_answer)
    options: dict[str, Any] = {
        "http_client": (http.AsyncClient if asynchronous else http.Client)(transport=transport),
        "api_key": "k",
        "max_retries": 0,
    }
    base_url = exchange.get("base_url", "https://api.openai.com/v1")
    if ".openai.azure.com" in base_url and not base_url.endswith("/v1"):
        azure = openai.AsyncAzureOpenAI if asynchronous else openai.AzureOpenAI
        return azure(api_version="2024-10-21", azure_endpoint=base_url, **options)
    return (openai.AsyncOpenAI if asynchronous else openai.OpenAI)(base_url=base_url, **options)


def shown(result: Any) -> Any:
    """Return all that a program can see of a value."""
    if isinstance(result, openai.BaseModel):
        return type(result), repr(result), result.to_dict(), getattr(result, "_request_id", None)
    return type(result), repr(result)


def create(resource: Any, kwargs: dict[str, Any]) -> Any:
    return shown(resource.create(**kwargs))


def raw(resource: Any, kwargs: dict[str, Any]) -> Any:
    said = resource.with_raw_response.create(**kwargs)
    return type(said), said.status_code, dict(said.headers), said.request_id, said.text, shown(said.parse())


def streaming(resource: Any, kwargs: dict[str, Any]) -> Any:
    with resource.with_streaming_response.create(**kwargs) as said:
        return type(said), said.status_code, dict(said.headers), said.read(), shown(said.parse())


def chunks(resource: Any, kwargs: dict[str, Any]) -> Any:
    stream = resource.create(**kwargs)
    return stream.__class__, [shown(chunk) for chunk in stream]


def in_block(resource: Any, kwargs: dict[str, Any]) -> Any:
    with resource.create(**kwargs) as stream:
        return [shown(next(stream)), *(shown(chunk) for chunk in stream)]


def raw_chunks(resource: Any, kwargs: dict[str, Any]) -> Any:
    said = resource.with_raw_response.create(**kwargs)
    return type(said), dict(said.headers), [shown(chunk) for chunk in said.parse()]


def streaming_chunks(resource: Any, kwargs: dict[str, Any]) -> Any:
    with resource.with_streaming_response.create(**kwargs) as said:
        return type(said), dict(said.headers), [shown(chunk) for chunk in said.parse()]


def lines(resource: Any, kwargs: dict[str, Any]) -> Any:
    with resource.with_streaming_response.create(**kwargs) as said:
        return type(said), list(said.iter_lines())


def helper(resource: Any, kwargs: dict[str, Any]) -> Any:
    kwargs = {name: value for name, value in kwargs.items() if name != "stream"}
    with resource.stream(**kwargs) as stream:
        events = [shown(event) for event in stream]
        return events, shown(final(stream)())


def final(stream: Any) -> Any:
    return getattr(stream, "get_final_completion", None) or stream.get_final_response


async def async_create(resource: Any, kwargs: dict[str, Any]) -> Any:
    return shown(await resource.create(**kwargs))


async def async_raw(resource: Any, kwargs: dict[str, Any]) -> Any:
    said = await resource.with_raw_response.create(**kwargs)
    return type(said), said.status_code, dict(said.headers), said.request_id, said.text, shown(said.parse())


async def async_streaming(resource: Any, kwargs: dict[str, Any]) -> Any:
    async with resource.with_streaming_response.create(**kwargs) as said:
        body = await said.read()
        return type(said), said.status_code, dict(said.headers), body, shown(await said.parse())


async def async_chunks(resource: Any, kwargs: dict[str, Any]) -> Any:
    stream = await resource.create(**kwargs)
    return stream.__class__, [shown(chunk) async for chunk in stream]


async def async_in_block(resource: Any, kwargs: dict[str, Any]) -> Any:
    async with await resource.create(**kwargs) as stream:
        first = shown(await anext(stream))
        return [first, *[shown(chunk) async for chunk in stream]]


async def async_raw_chunks(resource: Any, kwargs: dict[str, Any]) -> Any:
    said = await resource.with_raw_response.create(**kwargs)
    return type(said), dict(said.headers), [shown(chunk) async for chunk in said.parse()]


async def async_streaming_chunks(resource: Any, kwargs: dict[str, Any]) -> Any:
    async with resource.with_streaming_response.create(**kwargs) as said:
        return type(said), dict(said.headers), [shown(chunk) async for chunk in await said.parse()]


async def async_lines(resource: Any, kwargs: dict[str, Any]) -> Any:
    async with resource.with_streaming_response.create(**kwargs) as said:
        return type(said), [line async for line in said.iter_lines()]


async def async_helper(resource: Any, kwargs: dict[str, Any]) -> Any:
    kwargs = {name: value for name, value in kwargs.items() if name != "stream"}
    async with resource.stream(**kwargs) as stream:
        events = [shown(event) async for event in stream]
        return events, shown(await final(stream)())


WHOLE = {"plain": (create, async_create), "raw": (raw, async_raw), "streaming": (streaming, async_streaming)}
STREAMED = {
    "iterated": (chunks, async_chunks),
    "in a block": (in_block, async_in_block),
    "raw": (raw_chunks, async_raw_chunks),
    "streaming": (streaming_chunks, async_streaming_chunks),
    "line by line": (lines, async_lines),
}


def ways(exchange: dict[str, Any]) -> dict[str, Any]:
    """Return the ways in which a program can make the call."""
    helped = (
        {"helper": (helper, async_helper)} if hasattr(attrgetter(exchange["call"])(CLIENT), "stream") else {}
    )
    possible = STREAMED | helped if "events" in exchange else WHOLE
    return {way: possible[way] for way in exchange.get("ways", possible)}


def seen(make: Callable[[], Any], way: Any, exchange: dict[str, Any], asynchronous: bool) -> Any:
    """Make the call in one way; return what the program sees of it, be it an exception."""
    kwargs = REQUESTS[exchange["call"]] | exchange.get("request", {})
    if "events" in exchange:
        kwargs |= {"stream": True}

    async def awaited() -> Any:
        return await way[1](attrgetter(exchange["call"])(make()), kwargs)

    try:
        return (
            asyncio.run(awaited()) if asynchronous else way[0](attrgetter(exchange["call"])(make()), kwargs)
        )
    except Exception as error:  # noqa: BLE001 - whichever it is, it is what the program sees
        return type(error), str(error), repr(error), getattr(error, "body", None)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a1_a2_every_way_of_calling_gives_the_facts_and_what_the_program_would_see_without_us(
    provider: Any, tracer_provider: Any, spans: Any, exchange: dict[str, Any], asynchronous: bool
) -> None:
    make = partial(client, provider.http, exchange, asynchronous)
    before = {way: seen(make, call, exchange, asynchronous) for way, call in ways(exchange).items()}
    streams, status = "events" in exchange, exchange.get("status", 200)

    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    try:
        for way, call in ways(exchange).items():
            spans.clear()
            result = seen(make, call, exchange, asynchronous)
            assert repr(result) == repr(before[way]), way
            (span,) = spans.get_finished_spans()
            if way == "helper" and isinstance(result[0], type):
                continue  # the client's helper refused what the server sent
            assert span.kind is SpanKind.CLIENT
            said, facts = dict(span.attributes), expected(exchange)
            first = said.pop("gen_ai.response.time_to_first_chunk", None)
            assert (first is not None) == exchange.get("first", streams and status == 200), way
            names = {*said, *facts} - {*FROM_THE_CALL}
            assert [(name, said.get(name)) for name in names if said.get(name) != facts.get(name)] == [], way
    finally:
        OpenAIInstrumentor().uninstrument()


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("exchange", [exchange for exchange in EXCHANGES if "output" in exchange.values[0]])
def test_the_answer_is_on_the_span_when_content_is_asked_for(
    provider: Any, capturing: None, instrumented: None, spans: Any, exchange: dict[str, Any]
) -> None:
    for call in ways(exchange).values():
        spans.clear()
        seen(partial(client, provider.http, exchange, asynchronous=False), call, exchange, asynchronous=False)
        (span,) = spans.get_finished_spans()
        messages = json.loads(span.attributes["gen_ai.output.messages"])
        assert [{**message, "name": None} for message in exchange["output"]] == messages


def expected(exchange: dict[str, Any]) -> dict[str, Any]:
    facts = {"provider.name": "openai", "request.model": "m"} | exchange["facts"]
    if "events" in exchange:
        facts["request.stream"] = True
    whole = ("openai.", "error.", "http.", "tupletrace.")
    return {
        name if name.startswith(whole) else f"gen_ai.{name}": tuple(value) if type(value) is list else value
        for name, value in facts.items()
        if value is not None
    }
