"""The callback handler that LangChain calls: the start and end of every run, handed to the recorder."""

import os
from typing import Any
from uuid import UUID

from langchain_core.callbacks.base import BaseCallbackHandler
from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.instrumentors.current import current_context
from tupletrace.instrumentors.firewall import RAISE_ERRORS, guard
from tupletrace.instrumentors.langchain.recorder import Recorder
from tupletrace.instrumentors.langchain.runs import RUN, Run
from tupletrace.instrumentors.langchain.starts import Starts
from tupletrace.instrumentors.langchain.tokens import ask_for_no_more


class Handler(BaseCallbackHandler):
    """Inline, so that order and context are the caller's; it runs none of the user's code."""

    run_inline = True
    # Properties of the base class, which LangChain asks for at every event.
    ignore_chain: Any = False  # pyright: ignore[reportIncompatibleMethodOverride]
    ignore_chat_model: Any = False  # pyright: ignore[reportIncompatibleMethodOverride]
    ignore_llm: Any = False  # pyright: ignore[reportIncompatibleMethodOverride]

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._starts = Starts(recorder)
        # LangChain swallows what a handler raises; our own tests must not.
        self.raise_error = RAISE_ERRORS in os.environ

    @property
    def ignore_retry(self) -> bool:
        """Retries within a client are no runs."""
        return True

    @property
    def ignore_custom_event(self) -> bool:
        """The user's own events are the user's own."""
        return True

    @guard("langchain on_chain_start")
    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a chain, graph, node, prompt or parser; a parser does nothing that would be told."""
        run_type = kwargs.get("run_type")
        if run_type == "parser":
            self._recorder.runs.stand_in(run_id, parent_run_id)
        elif self._recorder.listening:
            name = kwargs.get("name") or _class_name(serialized)
            self._starts.chain(run_id, parent_run_id, name, run_type, tags, metadata or {}, inputs)

    @guard("langchain on_chat_model_start")
    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: list[list[Any]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the inference of a chat model."""
        if self._recorder.listening:
            self._starts.model(run_id, parent_run_id, "chat", serialized, messages[0], metadata or {}, kwargs)

    @guard("langchain on_llm_start")
    def on_llm_start(
        self,
        serialized: dict[str, Any] | None,
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the inference of an LLM that completes text."""
        if self._recorder.listening:
            self._starts.model(
                run_id, parent_run_id, "text_completion", serialized, prompts, metadata or {}, kwargs
            )

    @guard("langchain on_tool_start")
    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the execution of a tool."""
        if self._recorder.listening:
            given = input_str if inputs is None else inputs
            call_id = kwargs.get("tool_call_id")
            self._starts.tool(run_id, parent_run_id, serialized, given, metadata or {}, call_id)

    @guard("langchain on_agent_action")
    def on_agent_action(self, action: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Keep the call id of a tool that an ``AgentExecutor`` is to run: it does not pass it on."""
        run = self._recorder.runs.get(run_id)
        call_id = getattr(action, "tool_call_id", None)
        if run is not None and call_id is not None:
            run.calls = [*(run.calls or ()), (action.tool, str(action.tool_input), call_id)]

    @guard("langchain on_retriever_start")
    def on_retriever_start(
        self, serialized: dict[str, Any] | None, query: str, *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Learn the run id of the retrieval that the wrapped call has begun."""
        run = current_context().get(RUN)
        if isinstance(run, Run) and run.kind == "retriever":
            self._recorder.runs.add(run_id, run)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note when the first token came; another is only told of where somebody else asks, too."""
        run = self._recorder.runs.get(run_id)
        if run is not None and not run.streamed:
            self._first_token(run)

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note when the first event of LangChain's newer streaming came."""
        self.on_llm_new_token(event, run_id=run_id)

    @guard("langchain end")
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End a chain, graph, node, prompt or parser."""
        self._recorder.end(run_id, outputs)

    @guard("langchain end")
    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End an inference."""
        self._recorder.end(run_id, response)

    @guard("langchain end")
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End a tool."""
        self._recorder.end(run_id, output)

    @guard("langchain end")
    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run id: the wrapped call ends the retrieval."""
        self._recorder.runs.pop(run_id)

    @guard("langchain error")
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End a chain, graph, node, prompt or parser that raised."""
        self._recorder.fail(run_id, error)

    @guard("langchain error")
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End an inference that raised, or whose stream was left, with what had come until then."""
        self._recorder.fail(run_id, error, kwargs.get("response"))

    @guard("langchain error")
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End a tool that raised."""
        self._recorder.fail(run_id, error)

    @guard("langchain error")
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run id: the wrapped call ends the retrieval."""
        self._recorder.runs.pop(run_id)

    @guard("langchain first token")
    def _first_token(self, run: Run) -> None:
        run.streamed = True
        if isinstance(run.span, InferenceInvocation):
            run.span.record_stream_chunk()
        ask_for_no_more(self, run.run_id)


def _class_name(serialized: dict[str, Any] | None) -> str:
    described = serialized or {}
    return str(described.get("name") or (described.get("id") or ["chain"])[-1])
