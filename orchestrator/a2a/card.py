"""The agent card: who we are, how to talk to us, and what our agents can do.

Whoever comes without a token learns how to talk to us, and no agent's name. With a token that may
read, the same card lists the agents as skills; so does the protocol's extended card.
"""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final

from envelopes.counted import counted
from orchestrator.a2a.wanted import KEY
from orchestrator.view import AgentView

PROTOCOL: Final = "1.0"
EXTENSION: Final = "urn:buckstop:request:1"
_MODES: Final = ("text/plain", "application/json")
_WHAT: Final = (
    "Teams of LLM agents under a hard budget, a hop cap and a deadline, with a person at the end. "
    f'A message names them in metadata.{KEY}: {{"agent": "...", "budget": {{"tokens": 20000}}, '
    '"timeout": "5m", "until": {"kind": "plan_done"}}, unless the operator has declared them.'
)
_BEARER: Final = {
    "scheme": "bearer",
    "bearerFormat": "bk_<id>_<secret>",
    "description": "A token of `buckstop token new`; answering a question needs decide.",
}


def card(address: str, agents: Iterable[AgentView] | None) -> dict[str, Any]:
    """Return the card; with the agents as skills, if the caller may see them."""
    return {
        "name": "Buckstop",
        "description": _WHAT,
        "version": version("buckstop"),
        "supportedInterfaces": [
            {"url": address, "protocolBinding": binding, "protocolVersion": PROTOCOL}
            for binding in ("JSONRPC", "HTTP+JSON")
        ],
        "capabilities": {
            "streaming": True,
            "pushNotifications": False,
            "extendedAgentCard": True,
            "extensions": [{"uri": EXTENSION, "description": _WHAT, "required": False}],
        },
        "securitySchemes": {"token": {"httpAuthSecurityScheme": _BEARER}},
        "securityRequirements": [{"schemes": {"token": {"list": []}}}],
        "defaultInputModes": _MODES,
        "defaultOutputModes": _MODES,
        "skills": [_ANY] if agents is None else [_ANY, *map(_skill, agents)],
    }


_ANY: Final = {
    "id": "task",
    "name": "Task",
    "description": "Have a task done by an agent, a plan, a planner or a manager.",
    "tags": ["task"],
}


def _skill(agent: AgentView) -> dict[str, Any]:
    there = (
        f"run by {counted(agent.workers, 'worker')}" if agent.workers else "no worker runs it now"
    )
    return {
        "id": f"agent.{agent.name}",
        "name": agent.name,
        "description": f'The agent {agent.name!r}: say "agent": "{agent.name}". Now, {there}.',
        "tags": list(agent.skills) or ["agent"],
    }
