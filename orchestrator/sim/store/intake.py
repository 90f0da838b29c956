"""Accept a task, as lua/submit.lua and lua/_accept.lua do."""

from envelopes.strict import Refused
from orchestrator.sim.store.checks import figure
from orchestrator.sim.store.news import ACCEPTED
from orchestrator.sim.store.part import SimPart, digits
from orchestrator.store import Submission, Submitted
from orchestrator.store.fields import only_the_cores


class SimIntake(SimPart):
    """Where tasks arrive."""

    def submit(self, submission: Submission) -> Submitted:
        """Accept a task, or say which one the idempotency key already stands for."""
        return self.send("submit", lambda: self._submit(submission))

    def _submit(self, s: Submission) -> Submitted:
        now_ms = self.clock()
        figure("retention_ms", s.retention_ms)
        figure("timeout_ms", s.timeout_ms)
        only_the_cores(s.fields)
        idem = self.keys.idempotency(s.tenant, s.idempotency_key) if s.idempotency_key else ""
        holder = self._idempotency.get(idem, s.task_id)
        if holder != s.task_id:
            return Submitted(holder, created=False, now_ms=now_ms)
        if known := self.records.get(s.task_id):
            if known["request"] != s.request:
                raise Refused("task_id", "it stands for another request already")
            return Submitted(s.task_id, created=True, now_ms=now_ms)
        self._accept(s, idem, now_ms)
        return Submitted(s.task_id, created=True, now_ms=now_ms)

    def _accept(self, s: Submission, idem: str, now_ms: int) -> None:
        self.records[s.task_id] = {
            "version": b"1",
            "request": s.request,
            "tenant": s.tenant.encode(),
            "retention_ms": digits(s.retention_ms),
            "accepted_ms": digits(now_ms),
            "idem": idem.encode(),
            **s.fields,
        }
        if idem:
            self._idempotency[idem] = s.task_id
        self.counters["submitted"] += 1
        about = {"task": s.task_id.encode(), "tenant": s.tenant.encode()}
        self.told_news.tell("task.accepted", ACCEPTED, about)
        if self.bulkheads.has_place(s.tenant):
            self.records[s.task_id]["place"] = b"work"
            self.bulkheads.count_at_work(s.tenant, 1)
            self.due[s.task_id] = now_ms
            self.ring(self.keys.bell)
        else:
            self.records[s.task_id]["place"] = b"waiting"
            self.bulkheads.waiting[s.tenant].append(s.task_id)
            self.due[s.task_id] = now_ms + s.timeout_ms
