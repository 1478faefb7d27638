"""Prompts pulled from LangSmith's hub: their texts keep their name where they are handed on without them."""

from collections.abc import Callable
from typing import Any

from tupletrace.instrumentors.base import Wrapper
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import Prompt
from tupletrace.instrumentors.langchain import templates
from tupletrace.instrumentors.registries import declared, says_something

Call = Callable[..., Any]
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Hubs:
    """Wrappers in wrapt's form of the methods that pull; ``keep`` is given each text that is pulled."""

    def __init__(self, keep: Callable[[Prompt, str], object]) -> None:
        self._keep = keep
        self.wrappers: dict[str, dict[str, Wrapper]] = {
            "langsmith.client": {"Client.pull_prompt": self._pull},
            "langsmith.async_client": {"AsyncClient.pull_prompt": self._apull},
        }
        """By module and method."""

    def _pull(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        pulled = wrapped(*args, **kwargs)
        self._remember(pulled)
        return pulled

    async def _apull(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        pulled = await wrapped(*args, **kwargs)
        self._remember(pulled)
        return pulled

    @guard("langchain prompt hub")
    def _remember(self, pulled: Any) -> None:
        # With its model it is the first step of a sequence.
        template = getattr(pulled, "first", pulled)
        prompt = declared(getattr(template, "metadata", None) or {}, own=True)
        if prompt is None:
            return
        for role, text in templates.texts_of(template):
            if role != "placeholder" and says_something(text):
                self._keep(prompt, text)
