"""Who answers behind an address that speaks OpenAI's API."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

_BY_HOST: Final[Mapping[str, str]] = {
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "models.ai.azure.com": "azure.ai.inference",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "inference.baseten.co": "baseten",
    "api.cerebras.ai": "cerebras",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "dashscope-us.aliyuncs.com": "dashscope",
    "azuredatabricks.net": "databricks",
    "databricks.com": "databricks",
    "api.deepinfra.com": "deepinfra",
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "models.github.ai": "github",
    "api.groq.com": "groq",
    "router.huggingface.co": "hugging_face",
    "inference.heroku.com": "heroku",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.novita.ai": "novita",
    "integrate.api.nvidia.com": "nvidia",
    "openrouter.ai": "openrouter",
    "endpoints.kepler.ai.cloud.ovh.net": "ovhcloud",
    "api.perplexity.ai": "perplexity",
    "api.sambanova.ai": "sambanova",
    "api.together.ai": "together_ai",
    "api.together.xyz": "together_ai",
    "api.voyageai.com": "voyageai",
    "api.x.ai": "x_ai",
    "api.z.ai": "zai",
    "open.bigmodel.cn": "zhipuai",
}
"""By host or its parent domain; names of the semantic conventions where they have one."""


def provider_at(host: str) -> str:
    """Return the provider at a host; ``openai`` where the host says nothing else."""
    if host.startswith("bedrock-") and host.endswith((".amazonaws.com", ".api.aws")):
        return "aws.bedrock"
    host = host.lower()
    # A gateway or a server of one's own (vLLM, Ollama, LiteLLM) speaks OpenAI; it is not named by its host.
    return next(
        (provider for known, provider in _BY_HOST.items() if f".{host}".endswith((f".{known}", f"-{known}"))),
        "openai",
    )


def provider_of_url(url: Any) -> str | None:
    """Return the provider at a base URL, if there is one and it is not OpenAI's own or a gateway's."""
    host = urlsplit(url).hostname if isinstance(url, str) else None
    provider = provider_at(host) if host else "openai"
    return None if provider == "openai" else provider
