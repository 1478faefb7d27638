"""Embedding models: one span a request to the model, not one a batch of texts or a cached answer."""

from typing import Any

from opentelemetry.context import set_value
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import CLIENT_EMBEDDING_CONTEXT_KEY, EmbeddingInvocation

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.llama_index.calls import Call, around
from tupletrace.instrumentors.llama_index.hooks import Family
from tupletrace.instrumentors.llama_index.models import provider_name, request_model
from tupletrace.instrumentors.summed import SummedEmbeddings

# What subclasses implement. The base class's own loop over these, or wait for the sync one.
_METHODS = (
    "_get_query_embedding",
    "_aget_query_embedding",
    "_get_text_embedding",
    "_aget_text_embedding",
    "_get_text_embeddings",
    "_aget_text_embeddings",
)


def family(telemetry: TelemetryHandler) -> Family:
    """Wrap the embedding models."""

    def begin(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> EmbeddingCall:
        invocation = telemetry.embedding(
            provider_name(model), request_model=request_model(model), _attach_to_context=False
        )
        return EmbeddingCall(invocation)

    embed = around("llama_index embedding", begin)
    return Family(
        "llama_index.core.base.embeddings.base.BaseEmbedding", dict.fromkeys(_METHODS, embed), defaults=False
    )


class EmbeddingCall(Call[EmbeddingInvocation]):
    """One call for one or more vectors; usage comes from the client below, LlamaIndex drops it."""

    what = "llama_index embedding"

    def __init__(self, invocation: EmbeddingInvocation) -> None:
        self._requests = SummedEmbeddings()
        super().__init__(
            invocation, set_value(CLIENT_EMBEDDING_CONTEXT_KEY, self._requests, invocation.context)
        )

    def fail(self, error: BaseException | str) -> None:
        """End the span as failed, with the tokens of the requests that did not."""
        with guard("llama_index embedding requests"):
            self.invocation.enrich_from_context(self._requests)
        super().fail(error)

    def read(self, result: Any) -> None:
        """Take the requests' tokens and the vectors' length."""
        self.invocation.enrich_from_context(self._requests)
        first: Any = result[0] if len(result) else None
        vector: Any = first if hasattr(first, "__len__") else result
        if len(vector):
            self.invocation.dimension_count = len(vector)
