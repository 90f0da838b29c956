"""The name of every key, all under one prefix. What each holds stands in orchestrator/store.py."""

from dataclasses import dataclass
from hashlib import sha256

PREFIX_DEFAULT = "buckstop:"


@dataclass(frozen=True, slots=True)
class Keys:
    """Names keys; two deployments with different prefixes share a server without meeting."""

    prefix: str = PREFIX_DEFAULT

    def task(self, task: str) -> str:
        """Name the hash with the task's state."""
        return f"{self.prefix}task:{task}"

    def mail(self, task: str) -> str:
        """Name the list of facts the task has not absorbed yet."""
        return f"{self.prefix}mail:{task}"

    def journal(self, task: str) -> str:
        """Name the list of the task's history."""
        return f"{self.prefix}journal:{task}"

    def claim(self, subtask: str) -> str:
        """Name the hash that says who runs a subtask and what it has spent; `subtask` is task/n."""
        return f"{self.prefix}claim:{subtask}"

    def queue(self, agent: str) -> str:
        """Name the agent's Celery queue, which is a list."""
        return f"{self.prefix}agent.{agent}"

    def queue_bell(self, queue: str) -> str:
        """Name the list that wakes a worker waiting on the queue."""
        return f"{self.prefix}bell:{queue}"

    def letter(self, letter: str) -> str:
        """Name the hash of one dead letter."""
        return f"{self.prefix}letter:{letter}"

    def worker(self, worker: str) -> str:
        """Name the short-lived record of a worker process."""
        return f"{self.prefix}worker:{worker}"

    def last(self, caller: str) -> str:
        """Name the short-lived record of the last thing that was handed out to a caller."""
        return f"{self.prefix}last:{caller}"

    def events(self, task: str) -> str:
        """Name the channel on which a task's commits are announced."""
        return f"{self.prefix}events:{task}"

    def idempotency(self, tenant: str, key: str) -> str:
        """Name the record of a submit that must not happen twice."""
        return f"{self.prefix}idem:{tenant}:{sha256(key.encode()).hexdigest()}"

    @property
    def due(self) -> str:
        """Name the alarm clock: a sorted set of task ids by wake-up time."""
        return f"{self.prefix}due"

    @property
    def bell(self) -> str:
        """Name the list that wakes an idle orchestrator."""
        return f"{self.prefix}bell"

    @property
    def tasks(self) -> str:
        """Name the index of all tasks by submit time."""
        return f"{self.prefix}tasks"

    @property
    def letters(self) -> str:
        """Name the index of open dead letters by the time they were filed."""
        return f"{self.prefix}letters"

    @property
    def agents(self) -> str:
        """Name the hash of what is known of each agent."""
        return f"{self.prefix}agents"

    @property
    def workers(self) -> str:
        """Name the sorted set of worker processes by their last beat."""
        return f"{self.prefix}workers"

    @property
    def stats(self) -> str:
        """Name the hash of counters."""
        return f"{self.prefix}stats"
