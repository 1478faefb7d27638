"""The prompt identity of one LLM call: declared, an agent's own, a template's, or the static text."""

from collections.abc import Sequence
from typing import Any

from tupletrace.instrumentors.context import declared_prompt
from tupletrace.instrumentors.identity import Prompt, caller_name, static_prompt
from tupletrace.instrumentors.llama_index.engines import engine_caller, in_conversation
from tupletrace.instrumentors.llama_index.templates import SYSTEM_ROLES, Template, predicted, source_of
from tupletrace.instrumentors.llama_index.trajectory import Step, current_step
from tupletrace.semconv import fingerprint

Messages = Sequence[tuple[str, str]]
"""``(role, text)`` in order."""


def call_prompt(llm: Any, messages: Messages, response_schema: Any = None) -> Prompt | None:
    """Return what identifies the prompt of a call with ``messages``; None if nothing does."""
    declared = declared_prompt()
    if declared is not None:
        return declared
    step = current_step()
    template = predicted()
    if template is not None:
        return _from_templates([template], _added_by(llm, messages))
    if step is not None and step.kind == "model" and (own := agent_prompt(step)) is not None:
        return own
    sources = {role_text: source_of(role_text[1]) for role_text in messages}
    templates = list({id(source): source for source in sources.values() if source is not None}.values())
    system = [message for message in messages if message[0] in SYSTEM_ROLES]
    if templates:
        unknown = [message for message in system if sources[message] is None]
        return _from_templates(templates, unknown)
    return static_prompt(system, engine_caller(), response_schema)


def agent_prompt(step: Step) -> Prompt | None:
    """Return the identity of an agent's instructions, named after the agent."""
    agent = step.agent
    formatter = getattr(agent, "formatter", None)
    code_act = getattr(getattr(agent, "code_act_system_prompt", None), "get_template", None)
    texts = (
        getattr(formatter, "system_header", None),
        code_act() if callable(code_act) else None,
        getattr(agent, "system_prompt", None),
    )
    instructions = [("system", text) for text in texts if isinstance(text, str) and text]
    return static_prompt(instructions, name=step.agent_name)


def _added_by(llm: Any, messages: Messages) -> Messages:
    """Return the system prompt that the LLM object puts before every templated prompt."""
    own = getattr(llm, "system_prompt", None)
    return messages[:1] if own and messages and messages[0] == ("system", own) else ()


def _from_templates(templates: list[Template], static: Messages) -> Prompt:
    first = templates[0]
    name = first.metadata.get("name") or first.metadata.get("prompt_name")
    version = first.metadata.get("version") or first.metadata.get("prompt_version")
    if name and version:
        return Prompt(str(name), str(version), "declared")
    written = [(role, fingerprint.mask_volatile(text)) for role, text in static]
    for template in templates:
        # A chat engine puts the history so far into its template: that is not the prompt.
        written += [m for m in template.messages if not in_conversation() or _is_prompt(*m)]
    derived = fingerprint.template_version(written, first.format)
    return Prompt(str(name or first.purpose or engine_caller() or caller_name()), derived, "derived")


def _is_prompt(role: str, text: str) -> bool:
    return role in SYSTEM_ROLES or "{" in text
