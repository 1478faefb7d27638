"""What the server had answered when the client refused it: the client's frames hold it, no exception does."""

from typing import Any, Final

from openai._models import BaseModel

from tupletrace.instrumentors.openai.fields import field

_NAMES: Final = ("raw_completion", "raw_response", "obj", "data")
"""Locals of ``parse``, of ``embeddings.create`` and of a stream, in every version of the client."""


_ITS_OWN: Final = ("tupletrace.", "openai.", "opentelemetry.", "openinference.")
"""Modules between a call and its failure; through any other, the error is of something else that was done."""


def answer_to(error: BaseException, answer: Any) -> Any:
    """Return what was answered: ``answer``, where something had arrived, with the usage of what came last."""
    held = _held(error)
    if answer is None or held is None:
        return held if answer is None else answer
    if field(answer, "usage") is None:
        answer.usage = field(held, "usage")
    return answer


def _held(error: BaseException) -> Any:
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(_ITS_OWN):
            return None
        for name in _NAMES if module.startswith("openai.") else ():
            if isinstance(found := frame.f_locals.get(name), (BaseModel, dict)):
                return found  # pyright: ignore[reportUnknownVariableType]
    return None
