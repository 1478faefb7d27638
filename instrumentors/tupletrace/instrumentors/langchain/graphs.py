"""LangGraph: which graphs are agents, what they are called, and the spans of their nodes."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.genai.types import Error
from opentelemetry.util.types import AttributeValue

from tupletrace.instrumentors.langchain.runs import Run
from tupletrace.semconv import names

_DEFAULT_NAME: Final = "LangGraph"
_PLACE: Final = "langgraph_checkpoint_ns"
_STEP_TAG: Final = "graph:step:"
_INPUT: Final = "__start__"
"""The node as which LangGraph runs a choice of the first nodes."""
_HOOKS: Final = frozenset({"before_agent", "before_model", "after_model", "after_agent"})
_REACT_AGENT: Final = frozenset(
    {"__start__", "agent", "generate_structured_response", "post_model_hook", "pre_model_hook", "tools"}
)
"""The nodes that ``langgraph.prebuilt.create_react_agent`` may build."""


class NodeSpan:
    """The span of a graph node: the conventions have no operation for it, so no invocation of util-genai."""

    def __init__(self, tracer: Tracer, run: Run) -> None:
        self.attributes: dict[str, AttributeValue] = {names.GRAPH_NODE: run.name}
        places = str(run.metadata.get(_PLACE) or "").split("|")
        if len(places) > 1:
            # `outer:<id>|1|inner:<id>`: ids are new with every run, numbers tell apart what one node calls.
            path = (place.split(":")[0] for place in places if not place.isdigit())
            self.attributes[names.GRAPH_PATH] = "/".join(path)
        self.conversation_id: str | None = None
        self._span = tracer.start_span(run.name, context=run.context)
        self._context = set_span_in_context(self._span, run.context)

    @property
    def context(self) -> Context:
        """The context that makes this span current."""
        return self._context

    def stop(self) -> None:
        """End it; ending it again is harmless."""
        if self._span.is_recording():
            self._span.set_attributes(self.attributes)
            self._span.end()

    def fail(self, error: Error) -> None:
        """End it with an error."""
        if self._span.is_recording():
            self._span.set_status(Status(StatusCode.ERROR, error.message))
        self.attributes[names.ERROR_TYPE] = error.type
        self.stop()


def acts(node: str, *, of_agent: bool) -> bool:
    """Say whether a node is an act: the choice where to begin is none, nor is a hook of an agent's."""
    _, dot, hook = node.rpartition(".")
    return node != _INPUT and not (of_agent and dot and hook in _HOOKS)


def node_step(tags: Iterable[str] | None) -> int | None:
    """Return the ``langgraph_step`` of a run that is a graph's node; None for all other runs."""
    for tag in tags or ():
        if tag.startswith(_STEP_TAG):
            return int(tag.removeprefix(_STEP_TAG))
    return None


def task_step(name: str, metadata: Mapping[str, Any], around: Mapping[str, Any]) -> int | None:
    """Return the place of a ``@task`` among those of its ``@entrypoint``; None for all other runs.

    ``around`` is the metadata of the run that it is in.
    """
    if metadata.get("langgraph_node") != name or metadata.get(_PLACE) == around.get(_PLACE):
        return None
    path = metadata.get("langgraph_path") or ()
    return path[2] if len(path) > 2 and isinstance(path[2], int) else None


def is_agent(graph: Any) -> bool:
    """Say whether a graph is an agent: one of LangChain's or DeepAgents', or LangGraph's prebuilt one."""
    metadata = _bound_metadata(graph)
    if "lc_agent_name" in metadata or metadata.get("ls_integration") == "langchain_create_agent":
        return True
    nodes = frozenset(graph.nodes)
    return "agent" in nodes and ("tools" in nodes or nodes <= _REACT_AGENT)


def given_name(graph: Any, run_name: str) -> str | None:
    """Return the name that the user gave a graph or this run of it."""
    named = _bound_metadata(graph).get("lc_agent_name") or graph.name
    if named and named != _DEFAULT_NAME:
        return str(named)
    return run_name if run_name != _DEFAULT_NAME else None


def _bound_metadata(graph: Any) -> Mapping[str, Any]:
    return (graph.config or {}).get("metadata") or {}
