"""Submit a plan, print what happens to it while it happens, then how it ended."""

from orchestrator.client import Buckstop

with Buckstop() as buckstop:  # the server of BUCKSTOP_URL, or what `buckstop up` started here
    task = buckstop.submit(
        goal="the otters of the Elbe",
        plan=[
            {"id": "research", "agent": "research"},
            {"id": "write", "agent": "write", "needs": ["research"]},
        ],
        budget={"tokens": 20_000},
        timeout="5m",
        until={"kind": "plan_done"},
    )
    for event in task.events():
        print(event.place, event.why, event.about["step"] or event.text)
    ended = task.result(timeout=60)
    print(ended.outcome, ended.result)
    print(f"{ended.ledger.spent.tokens} tokens of {ended.ledger.ceiling.tokens}")
