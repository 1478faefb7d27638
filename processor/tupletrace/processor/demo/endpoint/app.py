"""The HTTP side: paths, key, JSON in, JSON or server-sent events out."""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .chat import complete
from .checks import Json
from .embeddings import embed
from .errors import ApiError
from .models import MODELS
from .response_events import events
from .responses import Responses
from .usage import PrefixCache

Seen = list[tuple[str, Any]]
_CREATED = 1_735_689_600


def build(seen: Seen) -> Starlette:
    """The application; every request with a readable body is appended to ``seen``."""
    cache = PrefixCache()
    responses = Responses(cache)

    def chat(body: Json, request: Request) -> Response:
        completion = complete(body, cache)
        if body.get("stream"):
            lines = (f"data: {_dump(chunk)}\n\n" for chunk in completion.chunks())
            return _stream([*lines, "data: [DONE]\n\n"])
        return JSONResponse(completion.body())

    def respond(body: Json, request: Request) -> Response:
        response = responses.create(body)
        if body.get("stream"):
            return _stream(f"event: {event['type']}\ndata: {_dump(event)}\n\n" for event in events(response))
        return JSONResponse(response)

    def stored(body: Json, request: Request) -> Response:
        response_id: str = request.path_params["response_id"]
        if request.method == "DELETE":
            return JSONResponse(responses.delete(response_id))
        return JSONResponse(responses.get(response_id))

    def models(body: Json, request: Request) -> Response:
        data = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "system"} for name in MODELS]
        return JSONResponse({"object": "list", "data": data})

    routes: list[tuple[str, list[str], Callable[[Json, Request], Response]]] = [
        ("/v1/chat/completions", ["POST"], chat),
        ("/v1/responses", ["POST"], respond),
        ("/v1/responses/{response_id}", ["GET", "DELETE"], stored),
        (
            "/v1/conversations",
            ["POST"],
            lambda body, request: JSONResponse(responses.create_conversation(body)),
        ),
        ("/v1/embeddings", ["POST"], lambda body, request: JSONResponse(embed(body))),
        ("/v1/models", ["GET"], models),
    ]
    return Starlette(
        routes=[Route(path, _handle(answer, seen), methods=methods) for path, methods, answer in routes],
        exception_handlers={HTTPException: _not_served, ApiError: _refuse},
    )


def _handle(
    answer: Callable[[Json, Request], Response], seen: Seen
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        _check_key(request)
        body = await _body(request) if request.method == "POST" else {}
        seen.append((request.url.path, body))
        response = answer(body, request)
        response.headers["x-request-id"] = f"req_{uuid.uuid4().hex}"
        response.headers["openai-processing-ms"] = "1"
        return response

    return handle


def _check_key(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        message = (
            "You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
        raise ApiError(message, status=401)
    if not key.startswith("sk-"):
        raise ApiError(f"Incorrect API key provided: {key[:8]}.", code="invalid_api_key", status=401)


async def _body(request: Request) -> Json:
    try:
        body: Any = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(
            "We could not parse the JSON body of your request. The OpenAI API expects a JSON object."
        )
    return body


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _stream(lines: Iterable[str]) -> StreamingResponse:
    async def chunks() -> AsyncIterator[str]:
        for line in lines:
            yield line

    return StreamingResponse(chunks(), media_type="text/event-stream")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101
    return JSONResponse(error.body, status_code=error.status, headers=error.headers)


async def _not_served(request: Request, error: Exception) -> Response:
    if getattr(error, "status_code", 404) == 405:
        message = f"Not allowed to {request.method} on {request.url.path}."
        return await _refuse(request, ApiError(message, code="method_not_supported", status=405))
    message = f"Invalid URL ({request.method} {request.url.path})"
    return await _refuse(request, ApiError(message, status=404))
