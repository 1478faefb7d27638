"""A LlamaIndex query engine: ``llamaindex_query.py [top_k] [model]``."""

import os
import sys

from llama_index.core import Document, VectorStoreIndex
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI

HANDBOOK = {
    "dimming": "The lamp Mia can be dimmed in five steps. Press the switch for two seconds to dim it.",
    "bulb": "The lamp Mia uses a bulb of 7 watts. The bulb lasts for 20000 hours.",
    "cleaning": "Clean the glass shade with a dry cloth. Never use water on the socket.",
    "guarantee": "The guarantee lasts for two years. It covers the socket, the switch and the cable.",
    "returns": "Send the lamp back in its box. The label for the return is in the box.",
}
QUESTIONS = ["How do I dim the lamp Mia?", "What does the guarantee cover?"]


def main(top_k: str = "2", model: str = "gpt-4o-mini") -> None:
    base_url = os.environ.get("OPENAI_BASE_URL")
    documents = [Document(text=text, doc_id=name) for name, text in HANDBOOK.items()]
    embed_model = OpenAIEmbedding(model="text-embedding-3-small", api_base=base_url)
    index = VectorStoreIndex.from_documents(documents, embed_model=embed_model)
    llm = OpenAI(model=model, api_base=base_url)
    engine = index.as_query_engine(llm=llm, similarity_top_k=int(top_k))
    for question in QUESTIONS:
        print(f"Q: {question}\nA: {engine.query(question)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
