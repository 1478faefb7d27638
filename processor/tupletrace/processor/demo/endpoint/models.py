"""The models that the endpoint serves: the alias asked for, and the dated snapshot that answers."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from .errors import ApiError

Kind = Literal["chat", "reasoning", "embedding"]

_SNAPSHOTS: dict[str, tuple[Kind, str]] = {
    "gpt-3.5-turbo": ("chat", "gpt-3.5-turbo-0125"),
    "gpt-4o": ("chat", "gpt-4o-2024-08-06"),
    "gpt-4o-mini": ("chat", "gpt-4o-mini-2024-07-18"),
    "gpt-4.1": ("chat", "gpt-4.1-2025-04-14"),
    "gpt-4.1-mini": ("chat", "gpt-4.1-mini-2025-04-14"),
    "gpt-4.1-nano": ("chat", "gpt-4.1-nano-2025-04-14"),
    "gpt-5": ("reasoning", "gpt-5-2025-08-07"),
    "gpt-5-mini": ("reasoning", "gpt-5-mini-2025-08-07"),
    "gpt-5-nano": ("reasoning", "gpt-5-nano-2025-08-07"),
    "o3": ("reasoning", "o3-2025-04-16"),
    "o3-mini": ("reasoning", "o3-mini-2025-01-31"),
    "o4-mini": ("reasoning", "o4-mini-2025-04-16"),
    "text-embedding-3-small": ("embedding", "text-embedding-3-small"),
    "text-embedding-3-large": ("embedding", "text-embedding-3-large"),
    "text-embedding-ada-002": ("embedding", "text-embedding-ada-002-v2"),
}
DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}


@dataclass(frozen=True)
class Model:
    """One model: the name asked for, the name that answers, and what it can do."""

    asked: str
    answering: str
    kind: Kind

    @property
    def system_fingerprint(self) -> str | None:
        """Changes with the backend's configuration; newer reasoning models answer null."""
        if self.kind == "reasoning":
            return None
        return "fp_" + sha256(self.answering.encode()).hexdigest()[:10]


MODELS = {
    **{
        snapshot: Model(snapshot, snapshot, kind)
        for kind, snapshot in _SNAPSHOTS.values()
        if kind != "embedding"
    },
    **{alias: Model(alias, snapshot, kind) for alias, (kind, snapshot) in _SNAPSHOTS.items()},
}


def find(asked: object, *kinds: Kind) -> Model:
    """The model asked for, which must be of one of the kinds; a fine-tuned one answers under its own name."""
    if not isinstance(asked, str) or not asked:
        raise ApiError("you must provide a model parameter")
    model = MODELS.get(asked)
    if model is None and asked.startswith("ft:") and (base := MODELS.get(asked.split(":")[1])):
        model = Model(asked, asked, base.kind)
    if model is None:
        message = f"The model `{asked}` does not exist or you do not have access to it."
        raise ApiError(message, code="model_not_found", status=404)
    if model.kind not in kinds:
        raise ApiError(f"The model `{asked}` is not supported by this API.", param="model", status=404)
    return model
