"""A worker small enough to be steered by hand: real claims on the real server, no Celery."""

import json
from dataclasses import dataclass
from uuid import uuid4

from envelopes import Amounts, Envelope, Headers
from envelopes.keys import Keys
from envelopes.scripts import Scripts
from workers.claims import LUA, Claims, Fetched


@dataclass(frozen=True)
class Job:
    """A fetched subtask, opened."""

    headers: Headers
    payload: dict[str, object]
    token: str

    @property
    def id(self) -> str:
        return self.headers.id


class Hand:
    """One worker process, one call at a time."""

    def __init__(self, client, keys: Keys, *agents: str, handoffs: dict | None = None) -> None:
        self.claims = Claims(Scripts(client, LUA, keys), keys, f"hand-{uuid4().hex[:6]}")
        self.queues = [keys.queue(agent) for agent in agents]
        self.claims.register({a: {"handoffs": (handoffs or {}).get(a, [])} for a in agents})

    def take(self, count: int = 100) -> list[Job]:
        """Fetch what there is."""
        _, fetched = self.claims.fetch(self.queues, count)
        return [opened(each) for each in fetched if each.state == "claimed"]

    def answer(self, job: Job, envelope: Envelope, cost: Amounts | None = None) -> str:
        """Charge once, if it costs, and report."""
        settled = []
        if cost is not None:
            answer = self.claims.charge(job.id, job.token, "op1", cost, [])
            assert answer == "ok", answer
            settled = [("op1", cost)]
        return self.claims.report(job.id, job.token, settled, envelope.model_dump_json().encode())


def opened(fetched: Fetched) -> Job:
    """Read a message as the worker would."""
    from base64 import b64decode

    message = json.loads(fetched.raw)
    _, kwargs, _ = json.loads(b64decode(message["body"]))
    headers = Headers.model_validate_json(message["headers"]["buckstop"])
    return Job(headers, json.loads(kwargs["payload"]), fetched.token)
