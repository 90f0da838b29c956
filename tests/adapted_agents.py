"""Existing agents of every framework, in the module that a real worker loads."""

import os

from tests import adapted
from workers.adapters.function import from_callable
from workers.adapters.langgraph import from_langgraph
from workers.adapters.openai_agents import from_openai_agents
from workers.adapters.pydantic_ai import from_pydantic_ai

URL = os.environ["ADAPTED_URL"]


def shout(prompt: str) -> str:
    return prompt.upper()


from_pydantic_ai("pydantic", adapted.pydantic_agent(URL), **adapted.TERMS)
from_openai_agents(
    "openai", adapted.sdk_agent(), provider=adapted.provider_of(URL), **adapted.TERMS
)
graph = adapted.graph_of(adapted.OpenAIChat(url=URL, max_retries=0))
from_langgraph("graph", graph, **adapted.TERMS)
from_callable("shout", shout, confidence=1.0, tokens=100, usd="0.001")
