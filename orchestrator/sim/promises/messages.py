"""No subtask runs twice, and no byte disappears."""

from collections import Counter, defaultdict

from orchestrator.sim.promises.case import Case, Checks


def a_subtask_is_run_at_most_once(case: Case) -> Checks:
    """Look at who was given each subtask, and who began to work on it."""
    claims = case.evidence.claims
    tokens = Counter(claim.token for claim in claims)
    by_subtask = defaultdict(list)
    for claim in claims:
        by_subtask[claim.subtask].append(claim)
    for subtask, given in by_subtask.items():
        if any(tokens[claim.token] > 1 for claim in given):
            yield f"{subtask}: a token was given twice"
        elif sum(claim.started for claim in given) > 1:
            yield f"{subtask} was run {sum(claim.started for claim in given)} times"
        elif not all(claim.handed_back for claim in given[:-1]):
            yield f"{subtask} was given to {len(given)} workers, and not handed back in between"
        else:
            yield None


def every_byte_pushed_was_delivered_or_is_queued(case: Case) -> Checks:
    """Balance the bytes, and the messages that were taken from queues."""
    stats, strange = case.evidence.stats, case.evidence.bytes
    put = stats.get("pushed_bytes", 0) + stats.get("handed_back_bytes", 0) + strange.injected
    put += stats.get("messages_replayed_bytes", 0)
    taken = stats.get("fetched_bytes", 0) + strange.stolen + strange.queued
    taken += stats.get("withdrawn_bytes", 0)
    if put:
        yield (
            None
            if put == taken
            else f"{put} bytes were put on queues, {taken} came off or lie there"
        )
