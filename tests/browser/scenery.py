"""A deployment as one would be met on a good day: something of everything on every page.

Used where pages are looked at as a whole (test_looks.py) and for the pictures in docs/screenshots.
"""

import random
from dataclasses import dataclass

from orchestrator.tokens import Scope
from tests.browser.bed import WITHIN_S, Bed, Person
from tests.until import until

VENDORS = ["Nordwärme", "Thermia Süd", "Ventus"]
REPORT = """## Recommendation: Nordwärme

| Vendor | Price | Noise | Lead time |
|---|---:|---:|---|
| **Nordwärme** | €41,200 | 38 dB | 6 weeks |
| Thermia Süd | €39,900 | 46 dB | 9 weeks |
| Ventus | €44,750 | 37 dB | 14 weeks |

Thermia Süd is cheaper, but too loud for a school yard that is used until evening."""
DRAFT = {
    "subject": "Your complaint of 14 May",
    "text": "Dear Ms Okafor,\n\nyou are right, and we are sorry. The invoice was charged twice. "
    "We have returned 129.00 € today; it may take three days to arrive.",
    "refund_eur": 129.0,
}
SCHEMA = {
    "type": "object",
    "required": ["subject", "text", "refund_eur"],
    "properties": {"refund_eur": {"type": "number", "maximum": 100}},
}
MODELS = [
    ("acme", "research", "openai:gpt-5-mini", 9_000),
    ("acme", "write", "anthropic:claude-sonnet-4-5", 6_000),
    ("globex", "research", "openai:gpt-5-mini", 5_000),
    ("globex", "translate", "google:gemini-2.5-flash", 4_000),
    ("globex", "review", "", 1_500),
]
_MESSAGE = "undeliverable"
DAYS = 90
DAY_S = 86_400


@dataclass(frozen=True)
class Scenery:
    """What was put up, and where it is seen."""

    bed: Bed
    person: Person
    done: str
    working: str
    letter: str
    question: str
    decided: str

    @property
    def paths(self) -> list[str]:
        """Return the address of every page, the desk's in each of its forms."""
        return [
            "tasks",
            *(f"tasks/{task}" for task in (self.done, self.working)),
            *("desk", "desk?view=causes"),
            *(f"desk/{each}" for each in (self.letter, self.question, self.decided, self.message)),
            "agents",
            *("budget", "budget?by=model&unit=usd_micros&days=90"),
        ]

    @property
    def message(self) -> str:
        """Return the letter of a message that nobody can run."""
        kinds = {each["id"]: each["kind"] for each in self.bed.buckstop.letters().items}
        return next(letter for letter, kind in kinds.items() if kind == _MESSAGE)


def put_up(bed: Bed) -> Scenery:
    """Submit, decide, break and book until every page has something on it."""
    _books(bed)
    _judged(bed)
    _break(bed, "translate")
    bed.client.lpush(bed.keys.queue("review"), b'{"task": "agent.review", "id": "from elsewhere"')
    done = _vendors(bed)
    _lost_ways(bed)
    question = bed.submit("globex", goal="Book a room for the autumn retreat", input=_asking())
    letter = bed.submit("acme", **_complaint())
    working = bed.submit("acme", goal="Draft the release notes of version 2.4", **_releasing(bed))
    until("a step is done", lambda: working.status().count("done") > 0)
    until(
        "the message is set aside", lambda: bool(bed.buckstop.letter_counts("kind").get(_MESSAGE))
    )
    return Scenery(
        bed=bed,
        person=bed.person("ada", Scope.ADMIN),
        done=done,
        working=working.id,
        letter=bed.letter_of(letter),
        question=bed.letter_of(question),
        decided=_decided(bed),
    )


def _vendors(bed: Bed) -> str:
    looks = [
        {
            "id": f"look-{n}",
            "agent": "research",
            "goal": f"What does {vendor} offer?",
            "input": {
                "says": {"vendor": vendor, "fits": True},
                "confidence": 0.9 - n / 50,
                "costs": 1700 + 350 * n,
            },
        }
        for n, vendor in enumerate(VENDORS, 1)
    ]
    names = [each["id"] for each in looks]
    report = {"id": "report", "agent": "write", "needs": names, "input": _reports(3900)}
    check = {"id": "check", "agent": "review", "needs": ["report"], "input": _reports(1250)}
    task = bed.submit(
        "acme",
        goal="Compare three vendors of heat pumps for the primary school in Lund",
        agent=None,
        input=None,
        plan=[*looks, report, check],
        labels={"project": "lund", "quarter": "Q3"},
    )
    task.wait(WITHIN_S)
    return task.id


def _reports(costs: int) -> dict[str, object]:
    return {"says": REPORT, "costs": costs}


def _complaint() -> dict[str, object]:
    facts = {
        "id": "facts",
        "agent": "research",
        "input": {"says": {"charged_twice": True}, "costs": 1900},
    }
    reply = {
        "id": "reply",
        "agent": "write",
        "needs": ["facts"],
        "input": {"says": DRAFT, "confidence": 0.74, "costs": 3300},
    }
    return {
        "goal": "Answer the complaint of Ms Okafor, and make it good",
        "agent": None,
        "input": None,
        "plan": [facts, reply],
        "result_schema": SCHEMA,
        "replans_max": 0,
        "labels": {"ticket": "4711"},
    }


def _asking() -> dict[str, object]:
    text = (
        "Three rooms are free in the week of **6 October**. The largest costs *480 € more* than "
        "was planned. Which one shall I book?"
    )
    choices = ["Harbour, 24 seats", "Orangery, 40 seats", "None: ask for another week"]
    return {"asks": text, "choices": choices}


def _releasing(bed: Bed) -> dict[str, object]:
    gate = str(bed.gates / "release")
    read = {"id": "read", "agent": "research", "input": {"says": ["12 fixes"], "costs": 2100}}
    notes = {"id": "notes", "agent": "write", "needs": ["read"], "input": {"waits": gate}}
    proof = {"id": "proof", "agent": "review", "needs": ["notes"]}
    return {"agent": None, "input": None, "plan": [read, notes, proof], "timeout": "2h"}


def _lost_ways(bed: Bed) -> None:
    """Let some tasks end otherwise: handed over, out of budget, cancelled."""
    over = {"to": "review", "reason": "the terms are legal, not technical"}
    handed = {**over, "then": {"says": "Clause 7 is fine.", "confidence": 0.88}}
    bed.submit("acme", goal="Read the terms of the new supplier", input=handed).wait(WITHIN_S)
    for river in ("Elbe", "Rhine", "Danube"):
        poor = {"goal": f"Forecast the level of the {river}", "budget": {"tokens": 300}}
        bed.letter_of(bed.submit("globex", **poor, input={"costs": 900}))
    task = bed.submit("globex", goal="Watch the prices of copper", input={"waits": "/nowhere"})
    task.cancel("the contract is signed", "ada")
    task.wait(WITHIN_S)


def _judged(bed: Bed) -> None:
    """Let people judge results, so that agents' words can be held against facts."""
    for agent, verb, claimed in [
        *[("research", "approve", 0.62)] * 3,
        *[("research", "abort", 0.66)] * 2,
        *[("write", "approve", 0.58)] * 2,
    ]:
        script = {"says": {"claimed": claimed}, "confidence": claimed}
        goal = f"Judge what {agent} found"
        bed.decide(bed.escalated("acme", goal=goal, agent=agent, input=script), verb)


def _decided(bed: Bed) -> str:
    letter = bed.escalated("acme", goal="Name three risks of the move")
    bed.decide(letter, "approve", why="Checked; the second is the real one.")
    return letter


def _break(bed: Bed, agent: str) -> None:
    for _ in range(5):
        broken = {"raises": "429 Too Many Requests"}
        bed.submit("globex", goal="Translate the manual", agent=agent, input=broken, at_cap="abort")
    until("the breaker is open", lambda: _is_open(bed, agent))


def _is_open(bed: Bed, agent: str) -> bool:
    return any(one.breaker_open for one in bed.buckstop.agents() if one.name == agent)


def _books(bed: Bed) -> None:
    """Write the books of the days before."""
    dice = random.Random(7)
    today = bed.client.time()[0] // DAY_S
    for ago in range(1, DAYS):
        quiet = 0.15 if (today - ago) % 7 in {2, 3} else 1.0  # a Saturday and a Sunday
        for tenant, agent, model, much in MODELS:
            tokens = int(much * quiet * dice.uniform(0.6, 1.4) * (1 - ago / 200))
            line = [tokens, tokens * 4 if model else 0, tokens // 800 + 1, tokens // 900 + 1]
            figures = " ".join(map(str, [*line, int(dice.random() < 0.2), 0]))
            bed.client.hset(bed.keys.spend(today - ago), f"{tenant}|{agent}|{model}", figures)
