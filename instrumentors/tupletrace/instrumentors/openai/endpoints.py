"""What is particular to each endpoint of the API; a new one is a row here and a row in ``PATCHED``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import EmbeddingInvocation, InferenceInvocation

from tupletrace.instrumentors.openai.chunks import CompletionChunks
from tupletrace.instrumentors.openai.client import Server
from tupletrace.instrumentors.openai.content import chat_content, completion_content, responses_content
from tupletrace.instrumentors.openai.events import ResponseEvents
from tupletrace.instrumentors.openai.fields import text
from tupletrace.instrumentors.openai.observation import Gathered
from tupletrace.instrumentors.openai.prompt import Texts, chat_texts, responses_texts
from tupletrace.instrumentors.openai.request import (
    Params,
    conversation_id,
    describe_embedding,
    describe_inference,
)
from tupletrace.instrumentors.openai.response import (
    describe_completion,
    describe_embeddings,
    describe_response,
    response_error,
)

Invocation = InferenceInvocation | EmbeddingInvocation


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How the facts of one endpoint are read from and to the invocation that ``start`` gives."""

    operation: str
    request: Callable[[Any, Params], None]
    response: Callable[[Any, Any], None]
    content: Callable[[Any, Params], None] | None = None
    api_type: str | None = None
    chunks: Callable[[bool], Gathered] | None = None
    static_texts: Callable[[Params], Texts] | None = None
    error: Callable[[Any], str | None] = lambda answer: None

    def start(self, telemetry: TelemetryHandler, server: Server, params: Params) -> Invocation:
        """Start the invocation, a child of the current context but not attached to it."""
        model = text(params.get("model"))
        if self.operation == "embeddings":
            return telemetry.embedding(
                server.provider,
                request_model=model,
                server_address=server.address,
                server_port=server.port,
                _attach_to_context=False,
            )
        return telemetry.inference(
            server.provider,
            request_model=model,
            server_address=server.address,
            server_port=server.port,
            operation_name=self.operation,
            conversation_id=conversation_id(params),
            _attach_to_context=False,
        )


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "chat": Endpoint(
        "chat",
        describe_inference,
        describe_completion,
        chat_content,
        api_type="chat_completions",
        chunks=CompletionChunks,
        static_texts=chat_texts,
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
    "completions": Endpoint(
        "text_completion",
        describe_inference,
        describe_completion,
        completion_content,
        chunks=CompletionChunks,
    ),
    "embeddings": Endpoint("embeddings", describe_embedding, describe_embeddings),
}
