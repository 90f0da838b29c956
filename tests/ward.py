"""A small deployment for the doctor, of which one thing after another is made ill."""

import json

from envelopes import PlanDone
from envelopes.seal import Signer
from orchestrator.checks import Finding
from orchestrator.client import Buckstop
from orchestrator.doctor import Deployment, examine
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings
from orchestrator.wire import Wire
from tests.conftest import Fresh
from tests.hands import Hand

KEY = bytes(32)
PLENTY = {"budget": {"calls": 5}, "timeout": 60, "until": PlanDone()}


class Ward:
    """Orchestrator, workers and client of one deployment, moved by hand."""

    def __init__(self, fresh: Fresh) -> None:
        self.client, self.keys = fresh.client, fresh.keys
        environ = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix}
        self.buckstop = Buckstop(settings=Settings.read(environ))
        self.store = self.buckstop.store
        self.loop = Orchestrator(self.store, Wire(Signer(KEY), fresh.keys))

    def worker(self, name: str, *agents: str, **said: object) -> Hand:
        """Let a worker live that runs these agents."""
        hand = Hand(self.client, self.keys, *agents)
        declares = {each: {"in_flight_max": None} for each in agents}
        public = [Signer(KEY).key_id]
        record = {"agents": agents, "declares": declares, "keys": public, "concurrency": 8}
        hand.claims._worker = name
        hand.claims.beat([], json.dumps(record | said))
        self.client.persist(self.keys.worker(name))  # it lives for as long as the test looks
        return hand

    def submit(self, agent: str = "a") -> str:
        return self.buckstop.submit(goal="g", agent=agent, **PLENTY).id

    def turn(self) -> None:
        self.loop.turn(idle_ms_max=1)
        self.client.persist(self.keys.serving)

    def examine(self) -> tuple[Finding, ...]:
        deployment = Deployment.of(self.client, self.keys, signing_key=KEY)
        return examine(deployment)

    def finding(self, check: str) -> Finding:
        """Return what is reported under a name, which is one thing."""
        [found] = [one for one in self.examine() if one.check == check]
        return found
