"""A small, strict OpenAI-compatible endpoint with deterministic answers, for the demo and for tests."""

from .server import Endpoint, serve

__all__ = ["Endpoint", "serve"]
