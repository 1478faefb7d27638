"""The tokens of one call that takes several requests: a sum, where util-genai keeps the last request's."""

from dataclasses import dataclass
from typing import Any

from opentelemetry.util.genai.invocation import EmbeddingData


@dataclass
class SummedEmbeddings(EmbeddingData):
    """What the requests of one embedding call report, set as the data of their context."""

    def merge(self, other: Any, *, overwrite: bool = True) -> None:
        """Take a request's data; its tokens add to those of the requests before."""
        before, now = self.usage_input_tokens, other.usage_input_tokens
        super().merge(other, overwrite=overwrite)
        if before is not None and now is not None:
            self.usage_input_tokens = before + now
