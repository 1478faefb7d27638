"""What lives with the provider: fetched responses, vector stores, runs of assistants."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.util.genai.invocation import (
    FetchResponseInvocation,
    InferenceInvocation,
    RetrievalInvocation,
)

from tupletrace.instrumentors.openai.fields import field, items, known, number, text
from tupletrace.instrumentors.openai.request import Params, describe_inference
from tupletrace.instrumentors.openai.response import (
    finish_reason,
    output_messages,
    response_finish_reason,
    tells_first,
)
from tupletrace.instrumentors.openai.usage import fetched_usage, set_usage
from tupletrace.semconv import fingerprint, names

_SEARCH: tuple[str, ...] = ("vector_store_id", "max_num_results", "ranking_options", "rewrite_query")
_RUN_STATES = {"requires_action": "tool_calls", "expired": "error"}


def describe_fetch(invocation: FetchResponseInvocation, params: Params) -> None:
    """Set from where a stream is taken up again."""
    if params.get("stream") is True:
        invocation.request_stream = True
    after = number(params.get("starting_after"))
    invocation.stream_cursor = None if after is None else str(after)


def describe_fetched(invocation: FetchResponseInvocation, response: Any) -> None:
    """Set model, state and finish reasons; the tokens are those of the call that made the response.

    That call has told them, unless it was over before the response was.
    """
    said = known(response)
    output = items(said.get("output"))
    invocation.response_model_name = text(said.get("model"))
    invocation.response_status = text(said.get("status"))
    reason = response_finish_reason(said, output)
    invocation.finish_reasons = [reason] if reason else None
    if (tier := text(said.get("service_tier"))) is not None:
        invocation.attributes[names.OPENAI_RESPONSE_SERVICE_TIER] = tier
    if (conversation := text(field(said.get("conversation"), "id"))) is not None:
        invocation.attributes[names.CONVERSATION_ID] = conversation
    if said.get("background") is True:
        _tell_usage(invocation, said)
    if invocation.should_capture_content and output:
        invocation.output_messages = output_messages(output, reason)


def describe_search(invocation: RetrievalInvocation, params: Params) -> None:
    """Set how many documents are wanted, and the identity of the retriever: its store and how it ranks."""
    top_k = number(params.get("max_num_results"))
    invocation.top_k = None if top_k is None else int(top_k)
    store = text(params.get("vector_store_id"))
    if store is not None:
        config = {"class": "openai.vector_stores"} | {name: params.get(name) for name in _SEARCH}
        invocation.attributes[names.RETRIEVER_NAME] = store
        invocation.attributes[names.RETRIEVER_VERSION] = fingerprint.retriever_version(config)


def search_content(invocation: RetrievalInvocation, params: Params) -> None:
    """Set the query."""
    query = params.get("query")
    said = [query] if isinstance(query, str) else [one for one in items(query) if isinstance(one, str)]
    invocation.query_text = "\n".join(said) or None


def describe_found(invocation: RetrievalInvocation, page: Any) -> None:
    """Set the documents, where content is captured."""
    if invocation.should_capture_content:
        invocation.documents = [_document(found) for found in items(field(page, "data"))]


def describe_run_request(invocation: InferenceInvocation, params: Params) -> None:
    """Set the request's facts of an assistant's run."""
    describe_inference(invocation, params)
    _name_run(invocation, params.get("assistant_id"), params.get("thread_id"))


def describe_run(invocation: InferenceInvocation, run: Any) -> None:
    """Set model, state and tokens of a run; those come when it has ended."""
    said = known(run)
    invocation.response_id = text(said.get("id"))
    invocation.response_model_name = text(said.get("model"))
    _name_run(invocation, said.get("assistant_id"), said.get("thread_id"))
    if (usage := said.get("usage")) is not None:
        set_usage(invocation, usage)
        tells_first(invocation.response_id)
    invocation.finish_reasons = _run_finish_reasons(said)


def describe_fetched_run(invocation: FetchResponseInvocation, run: Any) -> None:
    """Set model, state and finish reasons of a run that a program polls; and its tokens, the first time."""
    said = known(run)
    invocation.response_model_name = text(said.get("model"))
    invocation.response_status = text(said.get("status"))
    invocation.finish_reasons = _run_finish_reasons(said)
    for name, attribute in (("assistant_id", names.AGENT_ID), ("thread_id", names.CONVERSATION_ID)):
        if (value := text(said.get(name))) is not None:
            invocation.attributes[attribute] = value
    _tell_usage(invocation, said)


def run_error(run: Any) -> str | None:
    """Return the error code of a run that came back as failed."""
    if field(run, "status") != "failed":
        return None
    return text(field(run, "last_error", "code")) or "_OTHER"


class RunEvents:
    """Events of a streamed run; each that is about the run carries it whole."""

    def __init__(self, capture: bool) -> None:
        self._run: Any = None

    def add(self, chunk: Any) -> None:
        """Take the next event."""
        run = field(chunk, "data") or chunk
        if field(run, "object") == "thread.run":
            self._run = run

    def answer(self) -> Any:
        """Return the run as it was last told of."""
        return self._run


def _tell_usage(invocation: FetchResponseInvocation, said: Mapping[str, Any]) -> None:
    if (usage := said.get("usage")) is not None and tells_first(text(said.get("id"))):
        invocation.attributes.update(fetched_usage(usage))


def _run_finish_reasons(said: Mapping[str, Any]) -> list[str] | None:
    status = text(said.get("status"))
    if status in (None, "queued", "in_progress", "cancelling"):
        return None
    reason = _RUN_STATES.get(status) or finish_reason(status)
    return [reason] if reason else None


def _name_run(invocation: InferenceInvocation, assistant: Any, thread: Any) -> None:
    if assistant := text(assistant):
        invocation.attributes[names.AGENT_ID] = assistant
    if thread := text(thread):
        invocation.conversation_id = thread


def _document(found: Any) -> dict[str, Any]:
    said = known(found)
    texts = (text(field(part, "text")) for part in items(said.get("content")))
    return {
        "id": said.get("file_id"),
        "score": said.get("score"),
        "content": "\n".join(found for found in texts if found),
    }
