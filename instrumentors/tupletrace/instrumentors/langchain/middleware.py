"""Prompts of LangChain's own middleware that are plain texts, which no template of LangChain's renders."""

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.context import Context, create_key, set_value

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import Prompt
from tupletrace.instrumentors.langchain.scope import InScope, Scope
from tupletrace.semconv import fingerprint

Call = Callable[..., Any]
Args = tuple[Any, ...]
Kwargs = dict[str, Any]
_PROMPT: Final = create_key("tupletrace.langchain.middleware_prompt")
SUMMARIZATION: Final = "langchain.agents.middleware.summarization"


def prompt_in(context: Context) -> Prompt | None:
    """Return the prompt of the middleware that is asking, if one is."""
    prompt = context.get(_PROMPT)
    return prompt if isinstance(prompt, Prompt) else None


def summarize(wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """Let a summary be asked for by the summary prompt."""
    scope = _asking(instance)
    return wrapped(*args, **kwargs) if scope is None else scope.step(wrapped, *args, **kwargs)


async def asummarize(wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """Do for an asynchronous summary what ``summarize`` does."""
    scope = _asking(instance)
    return await (wrapped(*args, **kwargs) if scope is None else InScope(wrapped(*args, **kwargs), scope))


@guard("langchain middleware prompt")
def _asking(summarizer: Any) -> Scope | None:
    # A summarizer of the user's own is not given it.
    if getattr(summarizer, "summarizer", None) is not None:
        return None
    template = [("user", summarizer.summary_prompt)]
    version = fingerprint.template_version(template, "f-string")
    return Scope("chain", context=set_value(_PROMPT, Prompt("summarization", version, "derived", template)))
