"""Ask OpenAI-compatible models, and never spend more than the subtask may.

    from workers.llm import Chat

    chat = Chat("gpt-5-mini")  # OPENAI_BASE_URL, OPENAI_API_KEY

    @agent("write", price="openai:gpt-5-mini")
    async def write(ctx: Context, goal: str) -> Envelope:
        answer = await chat.ask(ctx, goal, max_tokens=800)
        return Envelope.success({"text": answer.text}, confidence=0.8)

    chat.py       what an agent says: ask, stream, parse, run; blocking.py for plain functions
    prompt.py     what is sent, and the most input it can be charged for
    server.py     one attempt: booked, sent, settled; what stays booked when it breaks
    exchange.py   reading what comes back, and booking what it cost
    patience.py   when to try again
    answer.py     what came back; stream.py: piece by piece
    tools.py      Python functions as tools
    errors.py     what can go wrong

Not here: what the budget allows (workers/meter.py) and what a model costs (workers/prices.py).
"""

from workers.llm.answer import Answer, Tokens, ToolCall
from workers.llm.chat import Chat
from workers.llm.errors import BadAnswer, LLMError, RefusedByServer, ServerAway, ToolError
from workers.llm.patience import Patience
from workers.llm.stream import Pieces

__all__ = [
    "Answer",
    "BadAnswer",
    "Chat",
    "LLMError",
    "Patience",
    "Pieces",
    "RefusedByServer",
    "ServerAway",
    "Tokens",
    "ToolCall",
    "ToolError",
]
