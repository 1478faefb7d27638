"""Where in a workflow or agent run a call happens: whose turn it is, and its place in the order."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from opentelemetry.context import Context, create_key, get_value, set_value

from tupletrace.semconv import names

Kind = Literal["model", "tools", "step"]
_STEP: Final = create_key("tupletrace.llama_index.step")


@dataclass
class Run:
    """One run of a workflow; it counts the turns of what acts in it."""

    workflow: Any
    is_agent: bool = False
    agent_name: str | None = None
    acting: Any = None
    """Of several agents, the one whose turn it is."""
    position: int = -1
    last: Kind | None = None

    def advance(self, kind: Kind) -> int:
        """Return the place of an act; the tools that one model turn calls share theirs."""
        if not (kind == "tools" and self.last == "tools"):
            self.position += 1
        self.last = kind
        return self.position


@dataclass
class Step:
    """One step of a run; a step that only keeps house takes a number when something acts in it."""

    run: Run
    kind: Kind
    agent: Any = None
    number: int | None = None

    @property
    def agent_name(self) -> str | None:
        """The agent whose turn it is."""
        return getattr(self.agent, "name", None) or self.run.agent_name

    def numbered(self) -> int:
        """Return the step's place in the run."""
        if self.number is None:
            self.number = self.run.advance(self.kind)
        return self.number


def with_step(step: Step, context: Context) -> Context:
    """Return a context in which ``step`` is the one that runs."""
    return set_value(_STEP, step, context)


def current_step(context: Context | None = None) -> Step | None:
    """Return the step that runs, if any."""
    value = get_value(_STEP, context)
    return value if isinstance(value, Step) else None


def write_step(attributes: MutableMapping[str, Any], context: Context | None = None) -> None:
    """Set the agent's name and the place in its run."""
    step = current_step(context)
    if step is None:
        return
    attributes[names.AGENT_STEP] = step.numbered()
    if step.agent_name is not None:
        attributes[names.AGENT_NAME] = step.agent_name
