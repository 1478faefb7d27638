"""Retrieval-augmented answers with LangChain: ``langchain_rag.py [top_k] [model]``."""

import sys

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

FACTS = [
    "Little Lamp ships every order within one working day.",
    "Shipping inside the country is free for orders above 40 euros.",
    "Shipping abroad takes five to eight days and costs 12 euros.",
    "A lamp can be returned within 30 days for a full refund.",
    "Refunds are paid back to the card within 5 days.",
    "The guarantee on every lamp lasts for two years.",
    "Broken glass is replaced without charge during the guarantee.",
    "The reading lamp Mia uses a bulb of 7 watts and can be dimmed.",
]
SYSTEM = "Answer the question of a customer of Little Lamp. Use only the context.\n\nContext:\n{context}"
PROMPT = ChatPromptTemplate.from_messages([("system", SYSTEM), ("human", "{question}")])
QUESTIONS = [
    "How long does shipping abroad take?",
    "When are refunds paid back?",
    "Is broken glass replaced during the guarantee?",
]


def join(documents: list[Document]) -> str:
    return "\n".join(document.page_content for document in documents)


def shop_chain(top_k: int, model: str) -> Runnable[str, str]:
    # Without the check of lengths no tokenizer has to be downloaded; these texts are short.
    embeddings = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False)
    store = InMemoryVectorStore.from_texts(FACTS, embeddings)
    context = store.as_retriever(search_kwargs={"k": top_k}) | join
    inputs = {"context": context, "question": RunnablePassthrough()}
    chain = inputs | PROMPT | ChatOpenAI(model=model, stream_usage=True) | StrOutputParser()
    return chain.with_config(run_name="shop_questions")


def shop_answer(chain: Runnable[str, str], question: str) -> str:
    return "".join(chain.stream(question))


def main(top_k: str = "2", model: str = "gpt-4o-mini") -> None:
    chain = shop_chain(int(top_k), model)
    for question in QUESTIONS:
        print(f"Q: {question}\nA: {shop_answer(chain, question)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
