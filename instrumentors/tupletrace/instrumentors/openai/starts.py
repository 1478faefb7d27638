"""How the span of each kind of call begins: a child of the current context, not attached to it."""

from opentelemetry.context import Context
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
    telemetry: TelemetryHandler,
    server: Server,
    params: Params,
    operation: str,
    context: Context | None = None,
) -> InferenceInvocation:
    """Start a call that a model answers."""
    return telemetry.inference(
        server.provider,
        request_model=text(params.get("model")),
        operation_name=operation,
        conversation_id=conversation_id(params),
        server_address=server.address,
        server_port=server.port,
        context=context,
        _attach_to_context=False,
    )


def start_embedding(
    telemetry: TelemetryHandler,
    server: Server,
    params: Params,
    operation: str,
    context: Context | None = None,
) -> EmbeddingInvocation:
    """Start an embeddings call."""
    return telemetry.embedding(
        server.provider,
        request_model=text(params.get("model")),
        server_address=server.address,
        server_port=server.port,
        context=context,
        _attach_to_context=False,
    )


def start_fetch(
    telemetry: TelemetryHandler,
    server: Server,
    params: Params,
    operation: str,
    context: Context | None = None,
) -> FetchResponseInvocation:
    """Start fetching a response or a run that was made by another call."""
    return telemetry.fetch_response(
        server.provider,
        response_id=text(params.get("response_id")) or text(params.get("run_id")) or "",
        server_address=server.address,
        server_port=server.port,
        context=context,
        _attach_to_context=False,
    )


def start_retrieval(
    telemetry: TelemetryHandler,
    server: Server,
    params: Params,
    operation: str,
    context: Context | None = None,
) -> RetrievalInvocation:
    """Start a search of a vector store."""
    return telemetry.retrieval(
        provider=server.provider,
        data_source_id=text(params.get("vector_store_id")),
        server_address=server.address,
        server_port=server.port,
        context=context,
        _attach_to_context=False,
    )
