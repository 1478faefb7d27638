"""What the server had answered when the client refused it: the client's frames hold it, no exception does."""

from types import FrameType
from typing import Any, Final

from tupletrace.instrumentors.openai.fields import field, known

_ITS_OWN: Final = ("tupletrace.", "openai.", "opentelemetry.", "openinference.")
"""Modules between a call and its failure; through any other, the error is of something else that was done."""


def answer_to(error: BaseException, answer: Any) -> Any:
    """Return what was answered: ``answer``, where something had arrived, with the usage of what came last."""
    held = _held(error)
    if answer is None or held is None:
        return held if answer is None else answer
    return answer if field(answer, "usage") else {**known(answer), "usage": field(held, "usage")}


def _held(error: BaseException) -> Any:
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if not module.startswith(_ITS_OWN):
            return None
        if module.startswith("openai.") and (found := _answer_in(trace.tb_frame, module)) is not None:
            return found
        trace = trace.tb_next
    return None


def _answer_in(frame: FrameType, module: str) -> Any:
    """Return what ``parse`` and ``embeddings.create`` hand to their parser, or the last data of a stream."""
    if frame.f_code.co_name == "parser":
        return frame.f_locals.get(frame.f_code.co_varnames[0])
    return frame.f_locals.get("data") if module == "openai._streaming" else None
