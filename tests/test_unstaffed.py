"""Whom a request names that nobody runs: every place in which an agent can be named."""

import json

from envelopes import TaskRequest
from orchestrator.unstaffed import beginners, unstaffed
from orchestrator.view import AgentView

BOUNDS = {"goal": "otters", "budget": {"tokens": 100}, "timeout": "1m"}


def asked(**fields: object) -> TaskRequest:
    """Ask for a task in some way."""
    return TaskRequest.model_validate_json(
        json.dumps({"until": {"kind": "plan_done"}, **BOUNDS, **fields})
    )


def agent(name: str, *skills: str, workers: int = 1) -> AgentView:
    """Let an agent be known."""
    return AgentView(name, True, workers, skills, (), 0, 0, None, False, 0, False)


EVERYWHERE = asked(
    plan=[
        {"id": "a", "agent": "first", "fallbacks": ["second"]},
        {"id": "b", "skill": "facts", "needs": ["a"]},
    ],
    fallback_plans=[[{"id": "c", "agent": "third"}]],
    planner="planner",
    owner="owner",
    synthesis="joiner",
    validators=["judge"],
    until={"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "custom", "agent": "referee"}]},
)


def test_whoever_is_named_anywhere_and_not_run_is_found() -> None:
    """`buckstop submit` tells each agent that the request names and nobody runs."""
    everybody = {"first", "second", "third", "planner", "owner", "joiner", "judge", "referee"}
    found = unstaffed(EVERYWHERE, [])
    assert (set(found.agents), found.skills) == (everybody, ("facts",))
    assert not unstaffed(EVERYWHERE, [agent(name, "facts") for name in everybody])
    assert unstaffed(asked(manager="lead"), []).agents == ("lead",)


def test_an_agent_whose_workers_are_gone_is_not_run() -> None:
    gone = [agent("first", "facts", workers=0), agent("other", "fact")]
    found = unstaffed(asked(plan=[{"id": "a", "skill": "facts"}]), gone)
    [skill, there] = found.sentences()
    assert skill == "no living worker has the skill 'facts' (did you mean 'fact'?)"
    assert "there are: other; " in there


def test_of_many_agents_some_are_named() -> None:
    found = unstaffed(asked(agent="x"), [agent(f"agent-{n:02}") for n in range(15)])
    assert "agent-11 and 3 more" in list(found.sentences())[-1]


def test_only_who_begins_is_waited_for_at_first() -> None:
    """Over HTTP `waits` names nobody whose turn has not come."""
    assert beginners(EVERYWHERE) == {"first"}
    assert beginners(asked(planner="planner")) == {"planner"}
    assert beginners(asked(manager="lead")) == {"lead"}
    assert beginners(asked(plan=[{"id": "a", "skill": "facts"}])) == set()
