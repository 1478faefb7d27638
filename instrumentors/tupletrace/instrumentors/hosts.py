"""Who answers behind an address that speaks OpenAI's API."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

_BY_HOST: Final[Mapping[str, str]] = {
    "api.ai21.com": "ai21",
    "api.anthropic.com": "anthropic",
    "api.arcee.ai": "arcee",
    "models.ai.azure.com": "azure.ai.inference",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "services.ai.azure.com": "azure.ai.inference",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "openai.azure.com": "azure.ai.openai",
    "baidubce.com": "baidu",
    "baseten.co": "baseten",
    "api.cerebras.ai": "cerebras",
    "llm.chutes.ai": "chutes",
    "api.cloudflare.com": "cloudflare",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "dashscope-us.aliyuncs.com": "dashscope",
    "dashscope.aliyuncs.com": "dashscope",
    "azuredatabricks.net": "databricks",
    "databricks.com": "databricks",
    "api.deepinfra.com": "deepinfra",
    "api.deepseek.com": "deepseek",
    "api.featherless.ai": "featherless",
    "api.fireworks.ai": "fireworks",
    "api.friendli.ai": "friendli",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "models.github.ai": "github",
    "api.groq.com": "groq",
    "inference.heroku.com": "heroku",
    "endpoints.huggingface.cloud": "hugging_face",
    "huggingface.co": "hugging_face",
    "api.hyperbolic.xyz": "hyperbolic",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "api.inceptionlabs.ai": "inception",
    "api.inference.net": "inference_net",
    "api.lambda.ai": "lambda",
    "api.llama.com": "meta",
    "api.meta.ai": "meta",
    "api.minimax.chat": "minimax",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "nebius.ai": "nebius",
    "nebius.com": "nebius",
    "api.novita.ai": "novita",
    "api.nscale.com": "nscale",
    "api.nvidia.com": "nvidia",
    "ollama.com": "ollama",
    "openrouter.ai": "openrouter",
    "endpoints.kepler.ai.cloud.ovh.net": "ovhcloud",
    "api.perplexity.ai": "perplexity",
    "api.replicate.com": "replicate",
    "api.sambanova.ai": "sambanova",
    "api.scaleway.ai": "scaleway",
    "api.siliconflow.cn": "siliconflow",
    "api.siliconflow.com": "siliconflow",
    "api.stepfun.com": "stepfun",
    "tencent.com": "tencent",
    "api.together.ai": "together_ai",
    "api.together.xyz": "together_ai",
    "api.upstage.ai": "upstage",
    "api.venice.ai": "venice",
    "volces.com": "volcengine",
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
