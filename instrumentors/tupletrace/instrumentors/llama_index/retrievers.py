"""Retrievers: what was looked up where, and which documents came back."""

import json
import math
from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.context import create_key, get_value, set_value
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import CLIENT_RETRIEVAL_CONTEXT_KEY, RetrievalInvocation

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.llama_index.calls import Call, around
from tupletrace.instrumentors.llama_index.engines import current_engine
from tupletrace.instrumentors.llama_index.hooks import Family
from tupletrace.instrumentors.llama_index.retriever_identity import RetrieverIdentity, identify
from tupletrace.instrumentors.llama_index.sources import found, gathering
from tupletrace.instrumentors.llama_index.trajectory import write_step
from tupletrace.semconv import names

_RETRIEVER: Final = create_key("tupletrace.llama_index.retriever")


def current_retriever() -> Any:
    """Return the innermost retriever at work."""
    return get_value(_RETRIEVER)


def family(telemetry: TelemetryHandler) -> Family:
    """Wrap the retrievers; one that asks others has theirs below it, and their identity in its own."""

    def begin(retriever: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> RetrieverCall | None:
        if get_value(_RETRIEVER) is retriever:
            return None
        identity = identify(retriever, _postprocessors(retriever))
        invocation = telemetry.retrieval(
            data_source_id=identity.data_source,
            request_model=identity.embedding_model,
            # util-genai would fold an inner retrieval into the outer one.
            context=gathering(
                set_value(CLIENT_RETRIEVAL_CONTEXT_KEY, None, set_value(_RETRIEVER, retriever))
            ),
            _attach_to_context=False,
        )
        call = RetrieverCall(invocation)
        with guard("llama_index retriever input"):
            call.asked(identity, args[0] if args else next(iter(kwargs.values()), None))
        return call

    retrieve = around("llama_index retriever", begin)
    methods = ("retrieve", "aretrieve", "retrieve_with_metadata", "aretrieve_with_metadata")
    return Family("llama_index.core.base.base_retriever.BaseRetriever", dict.fromkeys(methods, retrieve))


def _postprocessors(retriever: Any) -> Iterable[Any]:
    """Return the rerankers and filters of the engine whose retriever this is."""
    engine = current_engine()
    return (
        getattr(engine, "_node_postprocessors", ())
        if getattr(engine, "_retriever", None) is retriever
        else ()
    )


class RetrieverCall(Call[RetrievalInvocation]):
    """One question to a retriever."""

    what = "llama_index retriever"
    gathers = True

    def asked(self, identity: RetrieverIdentity, question: Any) -> None:
        """Write who is asked, and the question where content may be captured."""
        self.invocation.top_k = identity.top_k
        if self.invocation.should_capture_content:
            self.invocation.query_text = str(getattr(question, "query_str", question))
        attributes = self.invocation.attributes
        write_step(attributes)
        attributes[names.RETRIEVER_NAME] = identity.name
        attributes[names.RETRIEVER_VERSION] = identity.version

    def read(self, result: Any) -> None:
        """Take ids and scores of the documents; their text where content may be captured."""
        # Of the SQL it wrote, and what that returned, a retriever of tables tells beside the nodes.
        nodes = result[0] if isinstance(result, tuple) and result and isinstance(result[0], list) else result
        # An iterator is the user's to read.
        if isinstance(nodes, list | tuple):
            documents = [_document(node, self.text_on_span) for node in nodes]
            attributes = self.invocation.attributes
            attributes[names.RETRIEVAL_DOCUMENTS] = json.dumps(documents, ensure_ascii=False)
            name, version = attributes[names.RETRIEVER_NAME], attributes[names.RETRIEVER_VERSION]
            found(self.invocation.context, str(name), str(version), nodes)


def _document(node: Any, with_text: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"id": node.node.node_id}
    if node.score is not None and math.isfinite(node.score):
        document["score"] = float(node.score)
    if with_text:
        document["content"] = node.node.get_content()
    return document
