"""An A2A client's side: the official client, by either binding."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import Client
from a2a.types import (
    AgentCard,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    TaskState,
)
from google.protobuf.json_format import MessageToDict, ParseDict

BINDINGS = ("JSONRPC", "HTTP+JSON")
BOUNDS = {"budget": {"tokens": 1000}, "timeout": "10m", "until": {"kind": "plan_done"}}
COMPLETED, WORKING = TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_WORKING
INPUT_REQUIRED = TaskState.TASK_STATE_INPUT_REQUIRED


@asynccontextmanager
async def peer(
    url: str, token: str, binding: str = "JSONRPC", **config: Any
) -> AsyncIterator[Client]:
    """Read the card and connect as it says."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        wanted = ClientConfig(
            httpx_client=http,
            supported_protocol_bindings=[binding],
            use_client_preference=True,
            **{"streaming": False, **config},
        )
        yield ClientFactory(wanted).create(card)


async def card_of(url: str, token: str | None = None) -> AgentCard:
    """Read the card, as somebody or nobody."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        return await A2ACardResolver(http, url).get_agent_card()


def says(
    *parts: str | dict[str, Any],
    said: dict[str, Any] | None = None,
    at_once: bool = False,
    **more: str,
) -> SendMessageRequest:
    """Make a message: texts are texts, dicts are parts as they are."""
    shown = [Part(text=one) if isinstance(one, str) else ParseDict(one, Part()) for one in parts]
    message = Message(role=Role.ROLE_USER, parts=shown, **{"message_id": "m1", **more})
    if said is not None:
        message.metadata.update({"buckstop": said})
    configuration = SendMessageConfiguration(return_immediately=at_once)
    return SendMessageRequest(message=message, configuration=configuration)


async def sent(client: Client, request: SendMessageRequest) -> Any:
    """Send without a stream, and return the task."""
    (answer,) = [each async for each in client.send_message(request)]
    return answer.task


def plain(message: Any) -> dict[str, Any]:
    """Return a message of the protocol as JSON has it."""
    return MessageToDict(message)
