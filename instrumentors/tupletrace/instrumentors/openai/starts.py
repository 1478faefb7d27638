"""How the span of each kind of call begins: a child of the current context, not attached to it."""

from typing import Any

from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import (
    EmbeddingInvocation,
    FetchResponseInvocation,
    InferenceInvocation,
    RetrievalInvocation,
)

from tupletrace.instrumentors.openai.client import Server
from tupletrace.instrumentors.openai.fields import text
from tupletrace.instrumentors.openai.request import Params, conversation_id

Invocation = InferenceInvocation | EmbeddingInvocation | FetchResponseInvocation | RetrievalInvocation


def start_inference(
    telemetry: TelemetryHandler, server: Server, params: Params, operation: str
) -> InferenceInvocation:
    """Start a call that a model answers."""
    return telemetry.inference(
        server.provider,
        request_model=text(params.get("model")),
        operation_name=operation,
        conversation_id=conversation_id(params),
        **_at(server),
    )


def start_embedding(
    telemetry: TelemetryHandler, server: Server, params: Params, operation: str
) -> EmbeddingInvocation:
    """Start an embeddings call."""
    return telemetry.embedding(server.provider, request_model=text(params.get("model")), **_at(server))


def start_fetch(
    telemetry: TelemetryHandler, server: Server, params: Params, operation: str
) -> FetchResponseInvocation:
    """Start fetching a response that was made by another call, whose tokens it is not to count again."""
    return telemetry.fetch_response(
        server.provider, response_id=text(params.get("response_id")) or "", **_at(server)
    )


def start_retrieval(
    telemetry: TelemetryHandler, server: Server, params: Params, operation: str
) -> RetrievalInvocation:
    """Start a search of a vector store."""
    return telemetry.retrieval(
        provider=server.provider, data_source_id=text(params.get("vector_store_id")), **_at(server)
    )


def _at(server: Server) -> dict[str, Any]:
    return {"server_address": server.address, "server_port": server.port, "_attach_to_context": False}
