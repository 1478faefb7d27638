"""Calls that are given up while nobody is looking: LangChain tells of the end of none of them."""

import asyncio
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult

USED = {"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4}


class Model(BaseChatModel):
    """Answers; what waits for the answer is cancelled before it can take it."""

    waiting: Any

    @property
    def _llm_type(self) -> str:
        return "given-up"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        usage = UsageMetadata(input_tokens=3, output_tokens=4, total_tokens=7)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Yes", usage_metadata=usage))])

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        asyncio.get_running_loop().call_soon(self.waiting.cancel)
        return self._generate()


class Slow(AsyncCallbackHandler):
    """Is cancelled while it hears that a model is asked."""

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Wait, until the task that asks is cancelled."""
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("calls", [1, 2])
def test_an_answer_that_came_too_late_has_its_tokens(trace: Any, calls: int) -> None:
    async def give_up() -> None:
        task = asyncio.current_task()
        await Model(waiting=task).agenerate([[AIMessage("Hm?")]] * calls)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(give_up())
    assert trace.tree() == ["chat"] * calls
    for span in trace.spans:
        assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"
        assert USED.items() <= span.attributes.items()


def test_a_call_that_was_never_made_is_ended(trace: Any) -> None:
    """The program's own handler keeps it from being made."""

    async def give_up() -> None:
        task = asyncio.ensure_future(Model(waiting=None).ainvoke("Hm?", {"callbacks": [Slow()]}))
        while not task.done():
            await asyncio.sleep(0)
            if len(asyncio.all_tasks()) > 2:
                task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(give_up())
    assert trace.facts("chat")["error.type"] == "asyncio.exceptions.CancelledError"
