"""The open runs of LangChain: whose child each is, where spans below it belong, what they inherit."""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from opentelemetry.context import Context, create_key
from opentelemetry.util.genai.types import Error
from opentelemetry.util.types import AttributeValue

from tupletrace.instrumentors.current import current_context
from tupletrace.instrumentors.feeding import Source, Sources
from tupletrace.instrumentors.identity import Prompt, caller_name
from tupletrace.semconv import names

Kind = Literal["chain", "graph", "node", "prompt", "model", "tool", "retriever", "embeddings", "executor"]
RUN: Final = create_key("tupletrace.langchain.run")
"""The run whose span is, or is above, the current one."""
CALLER: Final = create_key("tupletrace.langchain.caller")
"""The function of the user's that asked for events: LangChain makes them in a task of its own."""
BEGUN: Final[ContextVar["list[Run] | None"]] = ContextVar("tupletrace.langchain.begun", default=None)
"""The model calls that the asynchronous call around this has begun."""
_FRAMEWORK: Final = ("asyncio.events", "langgraph.pregel.")
_NOWHERE: Final = Context()
_MOST_OPEN: Final = 20_000
"""Runs whose end LangChain never reports must not pile up."""


class Span(Protocol):
    """What a util-genai invocation and the span of a graph node have in common."""

    attributes: dict[str, AttributeValue]
    conversation_id: str | None

    @property
    def context(self) -> Context:
        """The context that makes this span current."""
        ...

    def stop(self) -> None:
        """End it."""

    def fail(self, error: Error) -> None:
        """End it with an error."""


class Run:
    """One run as LangChain's callbacks tell it; most have no span of their own."""

    # What most runs say nothing of is None by their class.
    above: "Run | None" = None
    """The nearest ancestor with a span."""
    span: Span | None = None
    agent: str | None = None
    step: int | None = None
    conversation: str | None = None
    place: int | None = None
    """Of a node its ``langgraph_step``: what has a lower one was there before it."""
    places: Mapping[int, int] = MappingProxyType({})
    """Of a graph the steps in which something acted, from 0: a resumed thread does not begin at 1."""
    turn: int | None = None
    """The place of the latest act of an agent that counts them itself."""
    acted: Kind | None = None
    prompt: Prompt | None = None
    """The prompt that a step of this sequence rendered last."""
    answered: Callable[[Any], Error | None] | None = None
    """Sets on the span what the run returned; an error that it told of instead of raising it is returned."""
    batch: object = None
    """Shared by the runs that one ``generate`` call started."""
    calls: list[tuple[str, str, str]] | None = None
    """Of an ``AgentExecutor`` the tool calls that it announced: name, input and call id."""
    made: Any = None
    """What the model answered, of which LangChain has not told yet."""
    streamed: bool = False
    told: bool = False
    """Whether this tool turned its error into an answer for the model."""
    parallel: bool = False
    """Whether what runs in it runs side by side."""
    run_id: UUID | None = None
    fed: Mapping[str, tuple[int, Source]] = MappingProxyType({})
    """Sources that what has ended here leaves to what follows, and the place of the node that found each."""

    def __init__(
        self,
        kind: Kind,
        name: str,
        parent: "Run | None",
        context: Context,
        label: str,
        metadata: Mapping[str, Any],
    ) -> None:
        self.kind: Kind = kind
        self.name, self.parent, self.context = name, parent, context
        self.label = label
        """What prompts and workflows without a name of their own are called here."""
        self.metadata = metadata

    @property
    def owner(self) -> "Run | None":
        """The nearest run with a span: itself or an ancestor."""
        return self.above if self.span is None else self

    def carry(self, span: Span) -> None:
        """Make ``span`` this run's own, under which all below it belong."""
        self.span = span
        self.context = Context(span.context, **{RUN: self})

    def announced(self, name: str, given: str) -> str | None:
        """Return the call id of a tool that begins, once; of those side by side the input tells which."""
        for call in sorted(self.calls or (), key=lambda call: call[1] != given):
            if call[0] == name and self.calls is not None:
                self.calls.remove(call)
                return call[2]
        return None

    def let_go(self) -> None:
        """Refer no more to the context, which refers to this run: it would wait for the garbage collector."""
        self.context = _NOWHERE
        self.answered = None

    def take_place(self) -> None:
        """Take this node's place among the steps of its graph; nodes side by side share theirs."""
        if self.parent is not None and self.place is not None:
            places: dict[int, int] = vars(self.parent).setdefault("places", {})
            self.step = places.setdefault(self.place, len(places))

    def act(self) -> None:
        """Take a place for the node that this run is in and that seemed not to act: it does."""
        for above in self.ancestors():
            if self.step is not None:
                return
            if above.kind == "node" and above.span is not None:
                above.take_place()
                if above.step is not None:
                    above.span.attributes[names.AGENT_STEP] = self.step = above.step
            if above.kind != "chain":
                return

    def take_turn(self) -> None:
        """Take this run's place among the acts of its agent; the tools that one answer calls share theirs."""
        for above in self.ancestors():
            if above.turn is not None:
                if not self.kind == above.acted == "tool":
                    above.turn += 1
                above.acted, self.step = self.kind, above.turn
            if above.kind != "chain":
                return

    def pass_on(self, parent: "Run") -> None:
        """Leave what was found in this run to what follows it in its parent."""
        place = (self.place or 0) if self.kind == "node" else -1
        # At once, as its children may end side by side.
        fed: dict[str, tuple[int, Source]] = vars(parent).setdefault("fed", {})
        for version, (_, found) in self.fed.items():
            fed.setdefault(version, (place, found))

    def ancestors(self) -> "Iterator[Run]":
        """Return the runs that this one is in."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    def sources(self) -> Sources:
        """Return what was found before this run; of what runs beside it, nothing."""
        found: dict[str, Source] = {}
        child = self
        for parent in self.ancestors():
            beside = parent.parallel or (child.kind == "tool" and parent.kind == "node")
            if parent.fed and not beside:
                before = (child.place or 0) if child.kind == "node" else None
                found |= {
                    version: one
                    for version, (place, one) in parent.fed.items()
                    if before is None or place < before
                }
            child = parent
        return found


class Runs:
    """The runs that have begun and not ended, by run id."""

    def __init__(self) -> None:
        self._open: dict[int, Run] = {}  # `hash(UUID)` runs Python

    def get(self, run_id: UUID | None) -> Run | None:
        """Return the open run with that id."""
        return None if run_id is None else self._open.get(run_id.int)

    def parent(self, run_id: UUID | None) -> Run | None:
        """Return the run with that id, else the one that the current context is in.

        Or the retriever in it that is at work: LangChain enters none.
        """
        found, current = self.get(run_id), current_context().get(RUN)
        if current is found or not isinstance(current, Run):
            return found
        below = found is None or (current.kind == "retriever" and found in current.ancestors())
        return current if below else found

    def innermost(self, run_id: UUID | None) -> Run | None:
        """Return the run with that id, or the current one below it: LangChain enters no retriever."""
        found, current = self.get(run_id), current_context().get(RUN)
        if not isinstance(current, Run):
            return found
        return current if found is None or found in current.ancestors() else found

    def add(self, run_id: UUID, run: Run) -> Run | None:
        """Remember a run; return the oldest one when there are too many to be true."""
        run.run_id = run_id
        self._open[run_id.int] = run
        return self.pop(UUID(int=next(iter(self._open)))) if len(self._open) > _MOST_OPEN else None

    def stand_in(self, run_id: UUID, parent_id: UUID | None) -> None:
        """Let a run stand in for one inside it of which nothing is told."""
        parent = self.parent(parent_id)
        if parent is not None:
            self._open[run_id.int] = parent

    def pop(self, run_id: UUID | None) -> Run | None:
        """Forget a run that ended, and return it if it is not one that stood in for it."""
        if run_id is None:
            return None
        run = self._open.pop(run_id.int, None)
        return run if run is not None and run.run_id is not None and run.run_id.int == run_id.int else None

    def of_batch(self, batch: object) -> list[Run]:
        """Return the runs of one batch."""
        return [run for run in list(self._open.values()) if run.batch is batch]


def new_run(kind: Kind, name: str, parent: Run | None, label: str, metadata: Mapping[str, Any]) -> Run:
    """Return a run without a span that inherits what spans below ``parent`` carry."""
    run = Run(kind, name, parent, context_below(parent), label, metadata)
    if parent is not None:
        run.above, run.agent, run.step = parent.owner, parent.agent, parent.step
        run.conversation = parent.conversation
    if thread := metadata.get("thread_id"):
        run.conversation = str(thread)
    return run


def context_below(parent: Run | None) -> Context:
    """Return the context of a new child: the current one, the user's own spans included, if it is inside."""
    current = current_context()
    if parent is None or current.get(RUN) is parent.owner:
        return current
    return parent.context


def label_below(parent: Run | None) -> str:
    """Name what is called below ``parent``: after the user's function, the same for sync and async."""
    if parent is None:
        return calling()
    return parent.label if parent.kind == "chain" else caller_name(parent.label, _FRAMEWORK)


def calling(otherwise: str | None = None) -> str:
    """Name the user's function that is calling, if there is one on the stack or behind the task."""
    told = current_context().get(CALLER)
    return caller_name(told if isinstance(told, str) else otherwise)
