"""The prompt identity of one LLM call: declared, an agent's own, a template's, or the static text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tupletrace.instrumentors.context import declared_prompt
from tupletrace.instrumentors.identity import Prompt, caller_name, static_prompt
from tupletrace.instrumentors.llama_index.engines import current_engine, engine_caller, in_conversation
from tupletrace.instrumentors.llama_index.retrievers import current_retriever
from tupletrace.instrumentors.llama_index.templates import (
    SYSTEM_ROLES,
    Template,
    message_text,
    predicted,
    source_of,
)
from tupletrace.instrumentors.llama_index.trajectory import Step, current_step
from tupletrace.semconv import fingerprint

_SHORTEST_LITERAL: Final = 24
_SUMMARIZE: Final = "summarize_prompt"
"""What a memory that summarizes calls the prompt it does so by."""
Messages = Sequence[tuple[str, str]]
"""``(role, text)`` in order."""


def call_prompt(llm: Any, messages: Messages, response_schema: Any = None) -> Prompt | None:
    """Return what identifies the prompt of a call with ``messages``; None if nothing does."""
    declared = declared_prompt()
    if declared is not None:
        return declared
    template = predicted()
    if template is not None:
        return _from_templates([template], _added_by(llm, messages))
    sources = {role_text: source_of(role_text[1]) for role_text in messages}
    own = agent_prompt(current_step(), messages)
    if own is not None:
        instructions = (source for (role, _), source in sources.items() if source and role in SYSTEM_ROLES)
        return next((given for source in instructions if (given := source.declared)), own)
    templates = list({id(source): source for source in sources.values() if source is not None}.values())
    system = [message for message in messages if message[0] in SYSTEM_ROLES]
    if templates:
        unknown = [message for message in system if sources[message] is None]
        return _from_templates(templates, _lasting(unknown))
    lasting = _lasting(system)
    name = _SUMMARIZE if lasting and lasting[0][1] == _summarize_prompt() else engine_caller()
    return static_prompt(lasting, name, response_schema) or _held(messages)


def agent_prompt(step: Step | None, messages: Messages) -> Prompt | None:
    """Return the identity of an agent's instructions, where it is the agent that speaks to the model."""
    if step is None or step.kind != "model":
        return None
    agent = step.agent
    # In an agent's step its memory may ask the model for a summary: that is not the agent's prompt.
    instructions = [
        ("system", text)
        for text in (*_described(agent), getattr(agent, "system_prompt", None))
        if isinstance(text, str) and text and any(text.partition("{")[0] in said for _, said in messages)
    ]
    return static_prompt(instructions, name=step.agent_name)


def described_tools(messages: Messages) -> list[Mapping[str, Any]]:
    """Return the tools of an agent that describes them to the model in its instructions."""
    step = current_step()
    if step is None or not any(_described(step.agent)) or agent_prompt(step, messages) is None:
        return []
    return [tool.metadata.to_openai_tool() for tool in getattr(step.agent, "tools", None) or ()]


def _lasting(system: Messages) -> Messages:
    """Return of an engine's system messages those of every turn: not the summary of the talk so far."""
    said = getattr(current_engine(), "_prefix_messages", None) or ()
    prefix = {message_text(message) for message in said if hasattr(message, "blocks")}
    if own := [message for message in system if message[1] in prefix]:
        return own
    summarize = _summarize_prompt()
    return system if summarize is None else [message for message in system if message[1] == summarize]


def _summarize_prompt() -> Any:
    return getattr(getattr(current_engine(), "_memory", None), _SUMMARIZE, None)


def _described(agent: Any) -> tuple[Any, ...]:
    """Return the templates of ReAct's and CodeAct's instructions."""
    formatter = getattr(agent, "formatter", None)
    code_act = getattr(getattr(agent, "code_act_system_prompt", None), "get_template", None)
    return getattr(formatter, "system_header", None), code_act() if callable(code_act) else None


def _added_by(llm: Any, messages: Messages) -> Messages:
    """Return the system prompt that the LLM object puts before every templated prompt."""
    own = getattr(llm, "system_prompt", None)
    return messages[:1] if own and messages and messages[0] == ("system", own) else ()


def _from_templates(templates: list[Template], static: Messages) -> Prompt:
    first = templates[0]
    written = [(role, fingerprint.mask_volatile(text)) for role, text in static]
    for template in templates:
        # A chat engine puts the history so far into its template: that is not the prompt.
        written += [m for m in template.messages if not in_conversation() or _is_prompt(*m)]
    given = next((given for template in templates if (given := template.declared)), None)
    if given is not None:
        return replace(given, template=written)
    name = first.metadata.get("prompt_name") or first.metadata.get("name") or first.purpose
    name = name or _name_in_engine(first) or engine_caller() or caller_name()
    return Prompt(str(name), fingerprint.template_version(written, first.format), "derived", written)


def _held(messages: Messages) -> Prompt | None:
    """Return the prompt that the retriever or engine at work keeps as a mere text and formats itself."""
    for holder in (current_retriever(), current_engine()):
        texts: Mapping[str, Any] = getattr(holder, "__dict__", {})
        for name, text in texts.items():
            literal = text.partition("{")[0] if isinstance(text, str) else ""
            if len(literal) >= _SHORTEST_LITERAL and any(said.startswith(literal) for _, said in messages):
                version = fingerprint.template_version([("user", text)], "f-string")
                return Prompt(name.strip("_"), version, "derived")
    return None


def _name_in_engine(template: Template) -> str | None:
    """Return what the engine at work calls a template of its own: what condenses is not what answers."""
    held: Mapping[str, Any] = getattr(current_engine(), "__dict__", {})
    for name, value in held.items():
        if template.metadata and getattr(value, "metadata", None) is template.metadata:
            return name.strip("_")
    return None


def _is_prompt(role: str, text: str) -> bool:
    return role in SYSTEM_ROLES or "{" in text
