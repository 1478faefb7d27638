"""Names of model providers, as vendors write them and as the semantic conventions do."""

from typing import Final

KNOWN: Final = frozenset(
    {
        "anthropic",
        "aws.bedrock",
        "azure.ai.inference",
        "azure.ai.openai",
        "cohere",
        "deepseek",
        "gcp.gemini",
        "gcp.gen_ai",
        "gcp.vertex_ai",
        "groq",
        "ibm.watsonx.ai",
        "mistral_ai",
        "moonshot_ai",
        "openai",
        "perplexity",
        "x_ai",
    }
)
ALIASES: Final = {
    "amazon": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "amazon_bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_ai_inference": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "chatopenai": "openai",
    "gemini": "gcp.gemini",
    "google": "gcp.gen_ai",
    "google.generative-ai": "gcp.gemini",
    "google.vertex": "gcp.vertex_ai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
FRAMEWORKS: Final = frozenset(
    {
        "agno",
        "autogen",
        "crewai",
        "dspy",
        "gcp.vertex.agent",
        "haystack",
        "langchain",
        "langchain_core",
        "langgraph",
        "llama_index",
        "llamaindex",
        "microsoft.agent_framework",
        "openai_agents",
        "pydantic-ai",
        "semantic_kernel",
        "smolagents",
        "strands-agents",
        "unknown",
    }
)
"""Who calls models is no provider of any."""
_ENDPOINTS: Final = frozenset(
    {
        "chat",
        "completion",
        "completions",
        "embed",
        "embedding",
        "embeddings",
        "image",
        "messages",
        "responses",
        "textembedding",
    }
)
"""What Vercel's AI SDK adds to the provider, after a dot."""


def provider(said: str) -> str | None:
    """Return the conventions' name of a provider; None for a framework's; what nobody knows, as it is."""
    name = said.lower()
    if name in FRAMEWORKS:
        return None
    if name in KNOWN or name in ALIASES:
        return ALIASES.get(name, name)
    head, dot, tail = name.rpartition(".")
    if dot and tail in _ENDPOINTS:
        return provider(said[: len(head)])
    return said
