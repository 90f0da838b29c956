"""The store without a server: what the scripts do, said again in Python.

`SimStore` has the methods of `Store`, `SimClaims` those of `Claims`, and both pass the tests of the
real ones (tests/test_store_conformance.py). Time is whatever the injected clock says; nothing here
blocks, draws a random number or starts a thread, so a run of the simulation can be repeated.

It has the parts of orchestrator/store, each under the same name, and claims.py for the worker's
side. Beside them stand those that scripts keep between them: part.py (what lies on the server),
checks.py (what is checked before the first write), claim.py, bulkheads.py, breakers.py, lanes.py,
news.py, spend.py, stale.py.
"""

from orchestrator.sim.store.claims import SimClaims
from orchestrator.sim.store.commit import SimCommits
from orchestrator.sim.store.crew import SimCrew
from orchestrator.sim.store.history import SimHistory
from orchestrator.sim.store.indexes import SimIndexes
from orchestrator.sim.store.intake import SimIntake
from orchestrator.sim.store.letters import SimLetters
from orchestrator.sim.store.tasks import SimTasks
from orchestrator.sim.store.turns import SimTurns

__all__ = ["SimClaims", "SimStore"]


class SimStore(
    SimIntake, SimTurns, SimCommits, SimIndexes, SimLetters, SimTasks, SimCrew, SimHistory
):
    """The orchestrator's side, and the state that both sides share."""
