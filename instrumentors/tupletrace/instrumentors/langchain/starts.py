"""Begins the spans of LangChain's runs: chains, graphs and nodes, models, tools and retrievers."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from opentelemetry.util.genai.invocation import (
    Error,
    InferenceInvocation,
    LocalAgentInvocation,
    ToolInvocation,
    WorkflowInvocation,
)

from tupletrace.instrumentors.feeding import narrowed, write_sources
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.langchain import graphs, models, prompts, retrievers
from tupletrace.instrumentors.langchain.messages import any_input, any_output, as_text, is_message, text_of
from tupletrace.instrumentors.langchain.recorder import Recorder
from tupletrace.instrumentors.langchain.runs import BEGUN, Run, calling, label_below, new_run
from tupletrace.instrumentors.langchain.scope import Scope, waiting

Outermost = LocalAgentInvocation | WorkflowInvocation
_RUNNABLES: Final = ("langchain_core.runnables.", "langgraph.")
_request: Final = guard("langchain model request")
_sources: Final = guard("langchain sources")
_prompt: Final = guard("langchain prompt identity")
_SEQUENCES: Final = ("RunnableSequence", "RunnableParallel")
_FUNCTIONS: Final = ("RunnableLambda", "RunnableGenerator")
"""Mostly the user's own, by whose name LangChain calls the run."""
_WRAPPED: Final = ("func", "afunc", "_transform", "_atransform")
"""What holds that function."""


class Starts:
    """What callbacks and wrapped calls report when a run begins."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def chain(
        self,
        run_id: UUID,
        parent_id: UUID | None,
        name: str,
        run_type: str | None,
        tags: Sequence[str] | None,
        metadata: Mapping[str, Any],
        inputs: Any,
    ) -> None:
        """Begin a chain, graph, node or prompt: only what means something to the user has a span."""
        parent = self._recorder.runs.parent(parent_id)
        if run_type == "prompt":
            self._recorder.begin(run_id, new_run("prompt", name, parent, label_below(parent), metadata))
        elif (scope := waiting("graph", "executor")) is not None:
            run = new_run(scope.kind, name, parent, name, metadata)
            begin = self._graph if scope.kind == "graph" else self._executor
            begin(run_id, run, scope, inputs)
        elif (step := graphs.node_step(tags)) is not None:
            self._node(run_id, new_run("node", name, parent, name, metadata), step)
        elif parent is not None and (step := graphs.task_step(name, metadata, parent.metadata)) is not None:
            run = new_run("node", name, parent, name, metadata)
            run.place = run.step = step
            self._recorder.begin(run_id, run, graphs.NodeSpan(self._recorder.tracer, run))
        else:
            self._sequence(run_id, name, parent, metadata, inputs)

    def model(
        self,
        run_id: UUID,
        parent_id: UUID | None,
        operation: str,
        serialized: Mapping[str, Any] | None,
        given: Sequence[Any],
        metadata: Mapping[str, Any],
        details: Mapping[str, Any],
    ) -> None:
        """Begin the inference of a chat model (messages) or LLM (strings)."""
        run = new_run("model", "", self._recorder.runs.parent(parent_id), "", metadata)
        scope = waiting("model")
        if scope is not None and scope.conversation is not None:
            run.conversation = scope.conversation
        params: Mapping[str, Any] = details.get("invocation_params") or {}
        run.batch = details.get("options") if details.get("batch_size", 1) > 1 else None
        run.take_turn()
        run.act()
        context = run.context
        invocation = models.begin(self._recorder.telemetry, run, operation, serialized, params)
        self._recorder.begin(run_id, run, invocation)
        run.answered = partial(_answered, invocation, run.parent)
        if scope is not None:
            scope.enter(run)
        if (begun := BEGUN.get()) is not None:
            begun.append(run)
        captured = invocation.should_capture_content
        with _request:
            models.describe(invocation, metadata, params, captured=captured)
            if captured:
                models.capture_input(invocation, given)
        with _sources:
            texts = (one if isinstance(one, str) else text_of(one) for one in given)
            found = narrowed(run.sources(), texts) or self._recorder.loose.found_in(texts, context)
            write_sources(invocation.attributes, found)
        with _prompt:
            rendering = self._recorder.renderings.find(given)
            prompt = prompts.resolve(run, given, params, rendering, context)
            if prompt is not None:
                prompt.write(invocation.attributes, content=self._recorder.telemetry.captures_on_span)
            if captured and rendering is not None and rendering.prompt == prompt:
                invocation.prompt_variables = rendering.variables

    def tool(
        self,
        run_id: UUID,
        parent_id: UUID | None,
        serialized: Mapping[str, Any] | None,
        given: Any,
        metadata: Mapping[str, Any],
        call_id: str | None,
    ) -> None:
        """Begin the execution of a tool."""
        tool = serialized or {}
        name = str(tool.get("name") or "tool")
        run = new_run("tool", name, self._recorder.runs.parent(parent_id), name, metadata)
        run.take_turn()
        run.act()
        invocation = self._recorder.telemetry.tool(
            name, tool_type="function", agent_name=run.agent, context=run.context, _attach_to_context=False
        )
        if call_id is None and run.parent is not None and run.parent.calls:
            call_id = run.parent.announced(name, str(given))
        scope = waiting("tool")
        # Before langchain-core 1.0 a handler is not told of it.
        told = scope.owner if scope is not None else None
        invocation.tool_call_id = call_id or (told if isinstance(told, str) else None)
        self._recorder.begin(run_id, run, invocation)
        run.answered = partial(_returned, invocation, run)
        if scope is not None:
            scope.enter(run)
        if invocation.should_capture_content:
            with guard("langchain tool input"):
                invocation.tool_description = tool.get("description")
                invocation.arguments = as_text(given)

    def retriever(
        self, parent: Run | None, name: str, asked: tuple[Any, ...], configured: Callable[[], dict[str, Any]]
    ) -> Run:
        """Begin a retrieval, whose run id a callback will tell, if there is one."""
        run = new_run("retriever", name, parent, name, {})
        run.act()
        self._recorder.begin(None, run, retrievers.begin(self._recorder.telemetry, run, asked, configured))
        return run

    def _sequence(
        self, run_id: UUID, name: str, parent: Run | None, metadata: Mapping[str, Any], inputs: Any
    ) -> None:
        unnamed = name.startswith("Runnable")
        runnable = name.partition("<")[0] if unnamed else _runnable()
        named_step = parent is not None and not unnamed and runnable in _SEQUENCES
        run = new_run("chain", name, parent, parent.label if parent is not None else name, metadata)
        run.parallel = runnable == "RunnableParallel"
        if parent is None or unnamed or named_step:
            run.label = label_below(parent) if parent is not None else calling(name)
        if runnable in _FUNCTIONS and not unnamed:
            run.label = name
        workflow = None
        if parent is None or named_step:
            workflow = self._recorder.telemetry.workflow(
                run.label if unnamed else name,
                context=run.context,
                _attach_to_context=False,
                conversation_id=run.conversation,
            )
        self._outermost(run_id, run, workflow, inputs)

    def _graph(self, run_id: UUID, run: Run, scope: Scope, inputs: Any) -> None:
        parent = run.parent
        name = graphs.given_name(scope.owner, run.name)
        if name is None:
            # A subgraph is called after the node that it is, any other graph after the user's function.
            name = parent.name if parent is not None and parent.kind == "node" else calling(run.name)
        run.label = name
        if graphs.is_agent(scope.owner):
            span: Outermost = self._agent(run, name)
        else:
            span = self._recorder.telemetry.workflow(
                name, context=run.context, _attach_to_context=False, conversation_id=run.conversation
            )
        run.step = None
        self._outermost(run_id, run, span, inputs)
        scope.enter(run)

    def _executor(self, run_id: UUID, run: Run, scope: Scope, inputs: Any) -> None:
        """Begin an agent of the time before LangGraph; it has no graph to count its steps."""
        if run.name == type(scope.owner).__name__:
            run.label = calling(run.name)
        run.turn = -1
        run.step = None
        self._outermost(run_id, run, self._agent(run, run.label), inputs)
        scope.enter(run)

    def _agent(self, run: Run, name: str) -> LocalAgentInvocation:
        run.agent = name
        return self._recorder.telemetry.invoke_local_agent(
            agent_name=name,
            context=run.context,
            _attach_to_context=False,
            conversation_id=run.conversation,
        )

    def _node(self, run_id: UUID, run: Run, step: int) -> None:
        run.place, run.step = step, None
        of_agent = run.parent is not None and isinstance(run.parent.span, LocalAgentInvocation)
        if of_agent and run.agent is not None:
            # Its nodes are LangChain's own: what they ask is asked by the agent.
            run.label = run.agent
        if graphs.acts(run.name, of_agent=of_agent):
            run.take_place()
        self._recorder.begin(run_id, run, graphs.NodeSpan(self._recorder.tracer, run))

    def _outermost(self, run_id: UUID, run: Run, span: Outermost | None, inputs: Any) -> None:
        self._recorder.begin(run_id, run, span)
        if span is not None and span.should_capture_content:
            run.answered = partial(_concluded, span)
            with guard("langchain input"):
                span.input_messages = any_input(inputs)


def _answered(invocation: InferenceInvocation, asked_by: Run | None, response: Any) -> None:
    models.finish(invocation, response)
    if asked_by is not None:
        # What follows in the sequence is asked something else.
        asked_by.prompt = None


def _returned(invocation: ToolInvocation, run: Run, output: Any) -> Error | None:
    message = output if is_message(output) else None
    if invocation.should_capture_content:
        invocation.tool_result = as_text(output if message is None else message.content)
    told = run.told or (message is not None and getattr(message, "status", None) == "error")
    return Error(message=None, type="tool_error") if told else None


def _concluded(invocation: Outermost, output: Any) -> None:
    invocation.output_messages = any_output(output)


def _runnable() -> str | None:
    """Return the class of the runnable that called back: LangChain tells of a named one only its name."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_RUNNABLES):
            owner = frame.f_code.co_qualname.partition(".")[0]
            # What a step inherits from the base class may be all of it that is on the stack.
            step = frame.f_locals.get("self") if owner == "Runnable" or owner in _FUNCTIONS else None
            owner = owner if owner != "Runnable" else type(step).__name__
            return owner if owner not in _FUNCTIONS or _is_users(step) else None
        frame = frame.f_back
    return None


def _is_users(step: Any) -> bool:
    """Say whether the function of a step is not one of LangChain's own."""
    functions = (getattr(step, name, None) for name in _WRAPPED)
    function = next((found for found in functions if found is not None), None)
    return not str(getattr(function, "__module__", "")).startswith("langchain")
