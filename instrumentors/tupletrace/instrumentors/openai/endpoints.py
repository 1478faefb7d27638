"""What is particular to each endpoint of the API; a new one is a row here and a row in ``PATCHED``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.util.genai.handler import TelemetryHandler

from tupletrace.instrumentors.openai.chunks import CompletionChunks
from tupletrace.instrumentors.openai.client import Server
from tupletrace.instrumentors.openai.content import chat_content, completion_content, responses_content
from tupletrace.instrumentors.openai.decisions import decision_content, decision_texts, describe_decision
from tupletrace.instrumentors.openai.events import ResponseEvents
from tupletrace.instrumentors.openai.observation import Gathered
from tupletrace.instrumentors.openai.pictures_and_sounds import (
    MediaEvents,
    asked_content,
    describe_image_request,
    describe_images,
    describe_named,
    describe_nothing,
    describe_speech_request,
    describe_spoken,
    describe_text_request,
    describe_transcript,
)
from tupletrace.instrumentors.openai.prompt import Texts, chat_texts, responses_texts
from tupletrace.instrumentors.openai.request import (
    Params,
    describe_embedding,
    describe_inference,
)
from tupletrace.instrumentors.openai.response import (
    completion_error,
    describe_completion,
    describe_embeddings,
    describe_response,
    response_error,
)
from tupletrace.instrumentors.openai.starts import (
    Invocation,
    start_embedding,
    start_fetch,
    start_inference,
    start_retrieval,
)
from tupletrace.instrumentors.openai.stored import (
    RunEvents,
    describe_fetch,
    describe_fetched,
    describe_fetched_run,
    describe_found,
    describe_run,
    describe_run_request,
    describe_search,
    run_error,
    search_content,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How the facts of one endpoint are read from and to the invocation that ``begin`` starts."""

    operation: str
    request: Callable[[Any, Params], None]
    response: Callable[[Any, Any], None]
    content: Callable[[Any, Params], None] | None = None
    api_type: str | None = None
    chunks: Callable[[bool], Gathered] | None = None
    static_texts: Callable[[Params], Texts] | None = None
    error: Callable[[Any], str | None] = lambda answer: None
    begin: Callable[[TelemetryHandler, Server, Params, str, Context | None], Invocation] = start_inference
    positional: str | None = None
    """The parameter that may come without its name."""
    prompted: bool = True
    """Whether a model follows instructions in it."""
    binary: bool = False
    """Whether its answer, if it is none of events, is a file, which says nothing to us."""
    deprecated: bool = False
    """Whether the client warns of its methods."""


ENDPOINTS: Final[dict[str, Endpoint]] = {
    "chat": Endpoint(
        "chat",
        describe_inference,
        describe_completion,
        chat_content,
        api_type="chat_completions",
        chunks=CompletionChunks,
        static_texts=chat_texts,
        error=completion_error,
    ),
    "responses": Endpoint(
        "chat",
        describe_inference,
        describe_response,
        responses_content,
        api_type="responses",
        chunks=ResponseEvents,
        static_texts=responses_texts,
        error=response_error,
    ),
    "decisions": Endpoint(
        "chat", describe_inference, describe_decision, decision_content, static_texts=decision_texts
    ),
    "completions": Endpoint(
        "text_completion",
        describe_inference,
        describe_completion,
        completion_content,
        chunks=CompletionChunks,
        error=completion_error,
    ),
    "embeddings": Endpoint(
        "embeddings", describe_embedding, describe_embeddings, begin=start_embedding, prompted=False
    ),
    "images": Endpoint(
        "generate_content", describe_image_request, describe_images, asked_content, chunks=MediaEvents
    ),
    "videos": Endpoint("generate_content", describe_nothing, describe_named, asked_content),
    "speech": Endpoint(
        "generate_content",
        describe_speech_request,
        describe_spoken,
        asked_content,
        chunks=MediaEvents,
        binary=True,
    ),
    "transcriptions": Endpoint(
        "generate_content", describe_text_request, describe_transcript, asked_content, chunks=MediaEvents
    ),
    "moderations": Endpoint("moderation", describe_nothing, describe_named, asked_content, prompted=False),
    "batches": Endpoint("create_batch", describe_nothing, describe_named, prompted=False),
    "fetched": Endpoint(
        "fetch_response",
        describe_fetch,
        describe_fetched,
        chunks=ResponseEvents,
        error=response_error,
        begin=start_fetch,
        positional="response_id",
        prompted=False,
    ),
    "search": Endpoint(
        "retrieval",
        describe_search,
        describe_found,
        search_content,
        begin=start_retrieval,
        positional="vector_store_id",
        prompted=False,
    ),
    "runs": Endpoint(
        "invoke_agent",
        describe_run_request,
        describe_run,
        chunks=RunEvents,
        static_texts=responses_texts,
        error=run_error,
        positional="thread_id",
        deprecated=True,
    ),
}
ENDPOINTS["fetched runs"] = Endpoint(
    "fetch_response",
    describe_nothing,
    describe_fetched_run,
    error=run_error,
    begin=start_fetch,
    positional="run_id",
    prompted=False,
    deprecated=True,
)
ENDPOINTS["runs going on"] = replace(ENDPOINTS["runs"], positional="run_id")
ENDPOINTS["streamed runs"] = ENDPOINTS["runs"]
