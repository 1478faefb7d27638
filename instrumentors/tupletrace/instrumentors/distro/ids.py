"""Span and trace ids that do not repeat."""

from random import SystemRandom
from typing import Final

from opentelemetry.sdk.trace.id_generator import IdGenerator

_random: Final = SystemRandom()


class SystemIdGenerator(IdGenerator):
    """Ids from the operating system: neither ``random.seed()`` nor a fork makes a program repeat them."""

    def generate_span_id(self) -> int:
        """Return 64 random bits, not all zero."""
        return _random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """Return 128 random bits, not all zero."""
        return _random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        """Say in ``traceparent`` that samplers may rely on the randomness."""
        return True
