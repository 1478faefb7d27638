"""Embedding models: LangChain calls nobody back about them, so their methods are wrapped."""

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.util.genai.invocation import CLIENT_EMBEDDING_CONTEXT_KEY, EmbeddingInvocation

from tupletrace.instrumentors.base import Wrapper
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.langchain import providers
from tupletrace.instrumentors.langchain.calls import ambient_parent_id
from tupletrace.instrumentors.langchain.recorder import Recorder
from tupletrace.instrumentors.langchain.runs import Run, new_run
from tupletrace.instrumentors.langchain.scope import InScope, Scope
from tupletrace.instrumentors.langchain.stores import model_of, passed_on_to
from tupletrace.instrumentors.summed import SummedEmbeddings

Call = Callable[..., Any]
Args = tuple[Any, ...]
Kwargs = dict[str, Any]
_METHODS: Final = ("embed_documents", "embed_query")
_EMBEDDING: Final = create_key("tupletrace.langchain.embedding")


class Embedders:
    """Wrappers in wrapt's form: one span a call, which the client's own instrumentation adds to."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def embed(self, method: str) -> Wrapper | None:
        """Return the wrapper of an embedding model's method, if it is one that embeds."""
        if method in _METHODS:
            return self._embed
        return self._aembed if method.removeprefix("a") in _METHODS else None

    def _embed(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        run = self._begin(instance)
        if run is None:
            return wrapped(*args, **kwargs)
        try:
            vectors = Scope("embeddings", run=run).step(wrapped, *args, **kwargs)
        except BaseException as error:
            self._end(run, None, error)
            raise
        self._end(run, vectors)
        return vectors

    async def _aembed(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        run = self._begin(instance)
        if run is None:
            return await wrapped(*args, **kwargs)
        try:
            vectors = await InScope(wrapped(*args, **kwargs), Scope("embeddings", run=run))
        except BaseException as error:
            self._end(run, None, error)
            raise
        self._end(run, vectors)
        return vectors

    @guard("langchain embeddings")
    def _begin(self, embeddings: Any) -> Run | None:
        if not self._recorder.listening or get_value(_EMBEDDING) is embeddings:
            return None
        if passed_on_to(embeddings) is not None:
            return None
        run = new_run("embeddings", "", self._recorder.runs.innermost(ambient_parent_id()), "", {})
        invocation = self._recorder.telemetry.embedding(
            providers.of_embeddings(embeddings),
            request_model=model_of(embeddings),
            context=set_value(_EMBEDDING, embeddings, run.context),
            _attach_to_context=False,
        )
        self._recorder.begin(None, run, invocation)
        run.context = Context({**run.context, CLIENT_EMBEDDING_CONTEXT_KEY: SummedEmbeddings()})
        return run

    @guard("langchain embeddings")
    def _end(self, run: Run, vectors: Any, error: BaseException | None = None) -> None:
        with guard("langchain vectors"):
            if isinstance(run.span, EmbeddingInvocation):
                _describe(run.span, get_value(CLIENT_EMBEDDING_CONTEXT_KEY, run.context), vectors)
        self._recorder.close(run, error)


def _describe(invocation: EmbeddingInvocation, requests: Any, vectors: Any) -> None:
    if isinstance(requests, SummedEmbeddings):
        invocation.enrich_from_context(requests)
    if isinstance(vectors, list) and vectors:
        vector: Any = vectors[0] if isinstance(vectors[0], list) else vectors
        invocation.dimension_count = len(vector)
