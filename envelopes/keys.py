"""The name of every key, all under one prefix.

What each holds stands in orchestrator/store/catalogue.py.
"""

from dataclasses import dataclass
from hashlib import sha256

PREFIX_DEFAULT = "buckstop:"
TENANT_DEFAULT = "default"
"""Whose messages go onto an agent's own queue; every other tenant has a lane beside it."""
_PRIORITY = "\x06\x16"
_PRIORITIES = (3, 6, 9)
"""Into which lists Kombu sorts a queue's messages where their sender names a priority."""
_LANE = "@"
"""Begins the tenant in a lane's name; no name of an agent or a tenant has one in it."""


def base_of(queue: str) -> str:
    """Return the agent's own queue that this lane belongs to; its own queue is a lane too."""
    return queue.partition(_LANE)[0]


@dataclass(frozen=True, slots=True)
class Keys:
    """Names keys; two deployments with different prefixes share a server without meeting."""

    prefix: str = PREFIX_DEFAULT

    def __post_init__(self) -> None:
        """Refuse a prefix in which a lane's name could not be told from its queue's."""
        if _LANE in self.prefix:
            raise ValueError(f"{self.prefix!r}: a key prefix has no {_LANE} in it")

    def task(self, task: str) -> str:
        """Name the hash with the task's state."""
        return f"{self.prefix}task:{task}"

    def tasks_by(self, what: str) -> str:
        """Name the index of tasks by stage or tenant, given as stage:open."""
        return f"{self.prefix}tasks:{what}"

    def mail(self, task: str) -> str:
        """Name the list of facts the task has not absorbed yet."""
        return f"{self.prefix}mail:{task}"

    def journal(self, task: str) -> str:
        """Name the list of the task's history."""
        return f"{self.prefix}journal:{task}"

    def claim(self, subtask: str) -> str:
        """Name the hash that says who runs a subtask and what it has spent; `subtask` is task/n."""
        return f"{self.prefix}claim:{subtask}"

    def stale_on(self, queue: str) -> str:
        """Name the hash of messages on a queue whose claims were settled before any fetch.

        It begins as claims do, so whoever may write claims may write it.
        """
        return f"{self.prefix}claim:stale:{queue}"

    @property
    def stale(self) -> str:
        """Name the set of queues that have such messages."""
        return f"{self.prefix}claim:stale"

    def queue(self, agent: str, tenant: str = TENANT_DEFAULT) -> str:
        """Name the agent's Celery queue, which is a list; or a tenant's lane beside it."""
        lane = "" if tenant == TENANT_DEFAULT else f"{_LANE}{tenant}"
        return f"{self.prefix}agent.{agent}{lane}"

    def lanes(self, queue: str) -> str:
        """Name the sorted set of an agent's lanes that have messages, by whose turn it is."""
        return f"{self.prefix}lanes:{queue}"

    def room(self, agent: str) -> str:
        """Name the sorted set of tasks that wait for an agent."""
        return f"{self.prefix}room:{agent}"

    def turns(self, agent: str) -> str:
        """Name the hash that says whose turn it is in an agent's room."""
        return f"{self.prefix}turns:{agent}"

    def called(self, agent: str) -> str:
        """Name the sorted set of tasks that were called in from an agent's room."""
        return f"{self.prefix}called:{agent}"

    def waiting(self, tenant: str) -> str:
        """Name the sorted set of a tenant's tasks that wait for a place at work."""
        return f"{self.prefix}waiting:{tenant}"

    def queue_bell(self, queue: str) -> str:
        """Name the list that wakes a worker waiting on the queue."""
        return f"{self.prefix}bell:{queue}"

    def letter(self, letter: str) -> str:
        """Name the hash of one dead letter."""
        return f"{self.prefix}letter:{letter}"

    def letters_by(self, facet: str) -> str:
        """Name the index of open letters by one facet of theirs, given as kind:poison."""
        return f"{self.prefix}letters:{facet}"

    def letter_values(self, facet: str) -> str:
        """Name the set of values that open letters have for a facet."""
        return f"{self.prefix}letter_values:{facet}"

    def worker(self, worker: str) -> str:
        """Name the short-lived record of a worker process."""
        return f"{self.prefix}worker:{worker}"

    def speaks(self, version: str) -> str:
        """Name the short-lived sign that somebody speaks this schema version."""
        return f"{self.prefix}speaks:{version}"

    def last(self, caller: str) -> str:
        """Name the short-lived record of the last thing that was handed out to a caller."""
        return f"{self.prefix}last:{caller}"

    def events(self, task: str) -> str:
        """Name the channel on which a task's commits are announced."""
        return f"{self.prefix}events:{task}"

    def spend(self, day: int | str) -> str:
        """Name the hash of what was spent on a day, counted from 1970."""
        return f"{self.prefix}spend:{day}"

    def idempotency(self, tenant: str, key: str) -> str:
        """Name the record of a submit that must not happen twice."""
        return f"{self.prefix}idem:{tenant}:{sha256(key.encode()).hexdigest()}"

    def idempotency_cell(self, tenant: str, key: str) -> str:
        """Name the record of the cell in which that submit is, where it is another one."""
        return f"{self.idempotency(tenant, key)}:cell"

    def rate(self, token: str) -> str:
        """Name the short-lived record of how much a token has called lately."""
        return f"{self.prefix}rate:{token}"

    def failed(self, address: str) -> str:
        """Name the short-lived count of wrong credentials that came from an address."""
        return f"{self.prefix}failed:{address}"

    def session(self, hashed: str) -> str:
        """Name the record of a login at the console, by the hash of its cookie."""
        return f"{self.prefix}session:{hashed}"

    def code(self, hashed: str) -> str:
        """Name the record of a code that logs in once, by its hash."""
        return f"{self.prefix}code:{hashed}"

    def wait(self, hashed: str) -> str:
        """Name the record of an address at which one question is answered, by its hash."""
        return f"{self.prefix}wait:{hashed}"

    @staticmethod
    def celery_result(message: str) -> str:
        """Name what a Celery client with a result backend on this server reads, by Celery's id."""
        return f"celery-task-meta-{message}"

    @property
    def tokens(self) -> str:
        """Name the hash of bearer tokens by id; of their secrets it has the hash only."""
        return f"{self.prefix}tokens"

    def outbox(self, subscription: str) -> str:
        """Name the sorted set of deliveries that wait for one receiver, by due time."""
        return f"{self.prefix}outbox:{subscription}"

    def sending(self, subscription: str) -> str:
        """Name the sorted set of deliveries a courier is at, by when its lease ends."""
        return f"{self.prefix}sending:{subscription}"

    def delivered(self, subscription: str) -> str:
        """Name the list of a receiver's last deliveries that are over."""
        return f"{self.prefix}delivered:{subscription}"

    def delivery(self, delivery: str) -> str:
        """Name the hash of one message to one receiver."""
        return f"{self.prefix}delivery:{delivery}"

    def cause(self, cause: str) -> str:
        """Name the short-lived record of a cause that a receiver has been told of."""
        return f"{self.prefix}cause:{cause}"

    @property
    def submissions(self) -> str:
        """Name the Celery queue on which other services put requests."""
        return f"{self.prefix}submit"

    @property
    def submission_lists(self) -> tuple[str, ...]:
        """Name the lists that Celery makes of that queue, by the priority a sender may name."""
        return (self.submissions, *(f"{self.submissions}{_PRIORITY}{n}" for n in _PRIORITIES))

    @property
    def submissions_held(self) -> str:
        """Name the short-lived hash of messages on that queue that an orchestrator is at."""
        return f"{self.prefix}submit:held"

    @property
    def due(self) -> str:
        """Name the alarm clock: a sorted set of task ids by wake-up time."""
        return f"{self.prefix}due"

    @property
    def serving(self) -> str:
        """Name the short-lived sign that an orchestrator looks for work."""
        return f"{self.prefix}serving"

    @property
    def bell(self) -> str:
        """Name the list that wakes an idle orchestrator."""
        return f"{self.prefix}bell"

    @property
    def tasks(self) -> str:
        """Name the index of all tasks by submit time."""
        return f"{self.prefix}tasks"

    @property
    def expiring(self) -> str:
        """Name the sorted set of finished tasks by when their record expires."""
        return f"{self.prefix}expiring"

    @property
    def letters(self) -> str:
        """Name the index of open dead letters by the time they were filed."""
        return f"{self.prefix}letters"

    @property
    def letters_due(self) -> str:
        """Name the sorted set of tasks' open letters by when their default applies."""
        return f"{self.prefix}letters:due"

    @property
    def letter_facets(self) -> str:
        """Name the hash of what open letters are about, for whoever walks an index."""
        return f"{self.prefix}letter_facets"

    @property
    def discards(self) -> str:
        """Name the sorted set of messages set aside by when they are let go."""
        return f"{self.prefix}discards"

    @property
    def dead_letters(self) -> str:
        """Name the Celery queue that tells of each letter filed."""
        return f"{self.prefix}dead-letters"

    @property
    def news(self) -> str:
        """Name the stream of what has happened."""
        return f"{self.prefix}news"

    @property
    def tenant_default(self) -> str:
        """Name the tenant whose messages go onto an agent's own queue."""
        return TENANT_DEFAULT

    @property
    def agents(self) -> str:
        """Name the hash of what is known of each agent."""
        return f"{self.prefix}agents"

    @property
    def inflight(self) -> str:
        """Name the hash of how many messages each agent has that are not settled."""
        return f"{self.prefix}inflight"

    @property
    def caps(self) -> str:
        """Name the hash of the caps that an operator has set."""
        return f"{self.prefix}caps"

    @property
    def declared_caps(self) -> str:
        """Name the hash of the caps that agents have declared for themselves."""
        return f"{self.prefix}declared_caps"

    @property
    def breakers(self) -> str:
        """Name the hash of the breakers of agents that ever had a fault."""
        return f"{self.prefix}breakers"

    @property
    def atwork(self) -> str:
        """Name the hash of how many tasks each tenant has at work."""
        return f"{self.prefix}atwork"

    @property
    def arrivals(self) -> str:
        """Name the number of the last task that had to wait for a place."""
        return f"{self.prefix}arrivals"

    @property
    def calibration(self) -> str:
        """Name the list of what people thought of results that agents were sure of."""
        return f"{self.prefix}calibration"

    @property
    def workers(self) -> str:
        """Name the sorted set of worker processes by their last beat."""
        return f"{self.prefix}workers"

    @property
    def stats(self) -> str:
        """Name the hash of counters."""
        return f"{self.prefix}stats"

    @property
    def subscriptions(self) -> str:
        """Name the hash of who is told of the news."""
        return f"{self.prefix}subscriptions"

    @property
    def disabled(self) -> str:
        """Name the hash of subscriptions that nothing is sent to any more, and why."""
        return f"{self.prefix}disabled"

    @property
    def failing(self) -> str:
        """Name the hash of since when a receiver has taken nothing."""
        return f"{self.prefix}failing"

    @property
    def courier(self) -> str:
        """Name the hash of how far the news has become deliveries."""
        return f"{self.prefix}courier"

    @property
    def deliveries(self) -> str:
        """Name the sorted set of receivers by when there is something to do for them."""
        return f"{self.prefix}deliveries"
