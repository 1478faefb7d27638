"""OpenAI client instrumentor."""
