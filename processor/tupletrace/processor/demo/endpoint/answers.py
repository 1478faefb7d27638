"""What the model says: a fixed rule, so that the same question always has the same answer."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from .arguments import fill, ids, names_id
from .checks import Json
from .tools import Tool
from .words import closest, sentences, words

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Call:
    """One tool call."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Turn:
    """One message, whichever API it came through."""

    role: Role
    text: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""


@dataclass(frozen=True)
class Ask:
    """A checked request, whichever API it came through."""

    turns: list[Turn]
    tools: list[Tool] = field(default_factory=list[Tool])
    tool_choice: str = "auto"
    parallel: bool = True
    schema: Json | None = None
    json_mode: bool = False

    @property
    def question(self) -> str:
        """What the user said last."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")


@dataclass(frozen=True)
class Reply:
    """Either text or tool calls."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    """Name and arguments of each call."""


def reply(ask: Ask) -> Reply:
    """Call the tools that the question asks for; with their results, or without any, answer in words."""
    if calls := _calls(ask):
        return Reply(calls=calls)
    if ask.schema is not None:
        source = "\n".join(turn.text for turn in ask.turns if turn.role in {"user", "tool"})
        return Reply(json.dumps(fill(ask.schema, source)))
    text = _text(ask)
    return Reply(json.dumps({"answer": text}) if ask.json_mode else text)


def _calls(ask: Ask) -> tuple[tuple[str, str], ...]:
    if not ask.tools or ask.tool_choice == "none":
        return ()
    if ask.tool_choice.startswith("!"):
        wanted = [tool for tool in ask.tools if tool.name == ask.tool_choice[1:]]
    else:
        wanted = _matching(ask)
        if not wanted and ask.tool_choice == "required":
            wanted = ask.tools[:1]
    planned = [(tool.name, arguments) for tool in wanted for arguments in _arguments(tool, ask)]
    return tuple(planned if ask.parallel else planned[:1])


def _matching(ask: Ask) -> list[Tool]:
    """The tools worth calling now: after a tool result only those that had to wait for their turn."""
    done = _called_since_question(ask.turns)
    if done and ask.parallel:
        return []
    said = words(ask.question)
    by_name = {tool.name: len(said & words(tool.name.replace("_", " "))) for tool in ask.tools}
    scores = {tool.name: 2 * by_name[tool.name] + len(said & words(tool.description)) for tool in ask.tools}
    best = max(scores.values())
    return [
        tool
        for tool in ask.tools
        if tool.name not in done and (by_name[tool.name] or (scores[tool.name] == best and best > 0))
    ]


def _called_since_question(turns: list[Turn]) -> set[str]:
    names: set[str] = set()
    for turn in reversed(turns):
        if turn.role == "user":
            break
        names |= {call.name for call in turn.calls}
    return names


def _arguments(tool: Tool, ask: Ask) -> list[str]:
    """One call for each id in the question when the tool wants an id, else one call."""
    properties: dict[str, Any] = tool.parameters.get("properties", {})
    wants_id = any(names_id(key, schema) for key, schema in properties.items())
    chosen = ids(ask.question) if wants_id else []
    schema = {"type": "object", **tool.parameters}
    return [json.dumps(fill(schema, ask.question, chosen=one)) for one in chosen or [None]]


def _text(ask: Ask) -> str:
    told = words(_system(ask))
    brief = bool(words("brief short concise") & told)
    if ask.turns[-1].role == "tool":
        return _quote_results(ask.turns) + ("" if brief else " Is there anything else that I can do for you?")
    if words("summarise summarize summary") & told:
        return " ".join(sentences(ask.question)[: 1 if brief else 3])
    *_, question = sentences(_after_label(ask.question)) or [ask.question]
    known = [turn.text for turn in ask.turns if turn.role == "user"] + _system(ask).split("Context:")[1:]
    candidates = [
        sentence
        for text in known
        for sentence in sentences(text)
        if question not in sentence and not sentence.endswith((":", "?"))
    ]
    if found := closest(question, candidates, 1 if brief else 3):
        return " ".join(found)
    answer = f"You said: {question.strip()}"
    return (
        answer
        if brief
        else f"{answer} I have no further facts about it, so this is all that I can say for now."
    )


def _after_label(text: str) -> str:
    """The question of a prompt such as 'Context: ... Question: ...', which is where such prompts put it."""
    for label in ("Question:", "Query:"):
        if label in text:
            return text.rsplit(label, 1)[1].split("\n")[0]
    return text


def _system(ask: Ask) -> str:
    return "\n".join(turn.text for turn in ask.turns if turn.role == "system")


def _quote_results(turns: list[Turn]) -> str:
    names = {call.id: call.name for turn in turns for call in turn.calls}
    last_user = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=-1)
    results = [turn for turn in turns[last_user + 1 :] if turn.role == "tool"]
    return " ".join(f"{names.get(turn.call_id, 'The tool')} says: {_plain(turn.text)}." for turn in results)


def _plain(result: str) -> str:
    try:
        value = json.loads(result)
    except ValueError:
        return result.strip().rstrip(".")
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return result.strip()
