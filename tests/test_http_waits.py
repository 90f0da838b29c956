"""One question, answered once by whoever has its address."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import httpx
import pytest

from envelopes import limits
from envelopes.decision import Decision, Verb
from orchestrator.wait_tokens import WaitTokens
from tests.conftest import Fresh
from tests.hands import Hand
from tests.web import Web, asked, on_the_desk, orchestrating, running


@pytest.fixture
def web(fresh: Fresh) -> Iterator[Web]:
    with orchestrating(fresh), running(fresh) as web:
        yield web


@pytest.fixture
def ada(web: Web) -> httpx.Client:
    return web.caller(name="ada")


def address(ada: httpx.Client, letter: str, **body: int) -> dict:
    answer = ada.post(f"/v1/letters/{letter}/wait-token", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_outside_service_answers_without_a_token(
    fresh: Fresh, web: Web, ada: httpx.Client
) -> None:
    """The issue: "A wait token URL lets any outside service answer one question once"."""
    letter = asked(fresh, ada, "red", "blue")
    made = address(ada, letter)
    assert made["url"] == f"{web.url}/waits/{made['token']}"
    anybody = web.client()
    seen = anybody.get(made["url"]).json()
    assert (seen["question"], seen["choices"]) == ("which colour?", ["red", "blue"])
    wrong = anybody.post(made["url"], json={"answer": "green"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "answer")
    taken = anybody.post(made["url"], json={"answer": "blue"})
    assert (taken.status_code, taken.json()) == (200, {"letter": letter, "answer": "blue"})
    decided = ada.get(f"/v1/letters/{letter}").json()
    assert (decided["verb"], decided["by"]) == ("answer", "link of ada")
    hand = Hand(fresh.client, fresh.keys, "greet")
    while not (jobs := hand.take()):
        time.sleep(0.01)
    assert "blue" in str(jobs[0].payload)


def test_it_is_answered_once_however_many_try(fresh: Fresh, web: Web, ada: httpx.Client) -> None:
    """docs/HTTP.md: "200 once, then 410"."""
    url = address(ada, asked(fresh, ada))["url"]
    clients = [web.client() for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(
            threads.map(lambda n: clients[n].post(url, json={"answer": f"colour {n}"}), range(6))
        )
    assert sorted(each.status_code for each in answers) == [200] + [410] * 5
    assert web.client().get(url).status_code == 410
    assert web.client().post(url, json={"answer": "late"}).status_code == 410


def test_of_two_addresses_of_one_person_one_answer_counts(fresh: Fresh) -> None:
    """The issue: "First one wins atomically, the second gets told who was first"."""
    with running(fresh) as web:
        ada = web.caller(name="ada")
        with orchestrating(fresh):
            letter = asked(fresh, ada)
        urls = [address(ada, letter)["url"] for _ in range(2)]
        with ThreadPoolExecutor(2) as threads:
            said = [
                threads.submit(web.client().post, url, json={"answer": f"colour {n}"})
                for n, url in enumerate(urls)
            ]
            while fresh.client.llen(fresh.keys.mail(letter.rpartition(".")[0])) < len(urls):
                time.sleep(0.01)
            with orchestrating(fresh):
                codes = sorted(each.result().status_code for each in said)
        assert codes == [200, 409]
        link = sha256(urls[0].rpartition("/")[2].encode()).hexdigest()[:12]
        other = sha256(urls[1].rpartition("/")[2].encode()).hexdigest()[:12]
        assert ada.get(f"/v1/letters/{letter}").json()["decided_why"] in {
            f"by the link {link}",
            f"by the link {other}",
        }


def test_it_is_used_in_the_step_that_takes_the_answer(fresh: Fresh) -> None:
    """The brief: "answered once atomically": also while nobody has acted on the first answer."""
    waits = WaitTokens(fresh.client, fresh.keys)
    with running(fresh) as web:
        ada = web.caller()
        with orchestrating(fresh):
            letter = asked(fresh, ada)
        token = address(ada, letter)["token"]
    task = letter.rpartition(".")[0]
    said = Decision(letter=letter, verb=Verb.ANSWER, by="link", answer="red")
    mail = fresh.client.llen(fresh.keys.mail(task))
    assert waits.answer(token, task, said)
    assert not waits.answer(token, task, said)
    assert fresh.client.llen(fresh.keys.mail(task)) == mail + 1
    looked = waits.look(token, "10.0.0.7").wait
    assert looked is not None
    assert not looked.open


def test_an_address_is_gone_once_a_person_has_decided(
    fresh: Fresh, web: Web, ada: httpx.Client
) -> None:
    letter = asked(fresh, ada)
    url = address(ada, letter)["url"]
    ada.post(f"/v1/letters/{letter}/decision", json={"verb": "answer", "answer": "grey"})
    assert web.client().get(url).status_code == 410
    assert web.client().post(url, json={"answer": "red"}).status_code == 410
    assert ada.get(f"/v1/letters/{letter}").json()["by"] == "ada"


def test_an_address_has_an_end(fresh: Fresh, web: Web, ada: httpx.Client) -> None:
    """At the latest when the letter's default applies."""
    letter = asked(fresh, ada, desk_timeout="1h")
    due_ms = ada.get(f"/v1/letters/{letter}").json()["due_ms"]
    assert address(ada, letter)["expires_ms"] == due_ms
    soon = address(ada, letter, ttl_s=60)
    assert soon["expires_ms"] < due_ms
    (key,) = (
        key
        for key in fresh.client.keys(fresh.keys.wait("*"))
        if int(fresh.client.hget(key, "until_ms")) == soon["expires_ms"]
    )
    assert soon["token"].encode() not in key
    fresh.client.hset(key, "until_ms", 1)
    assert web.client().get(soon["url"]).status_code == 410
    assert web.client().post(soon["url"], json={"answer": "red"}).status_code == 410


def test_only_an_open_question_has_one(fresh: Fresh, ada: httpx.Client) -> None:
    """docs/HTTP.md: "(questions only)"."""
    letter = on_the_desk(fresh, ada)
    assert ada.post(f"/v1/letters/{letter}/wait-token", json={}).status_code == 422
    question = asked(fresh, ada)
    ada.post(f"/v1/letters/{question}/decision", json={"verb": "abort"})
    assert ada.post(f"/v1/letters/{question}/wait-token", json={}).status_code == 409


def test_an_address_is_not_asked_in_a_loop(fresh: Fresh, web: Web, ada: httpx.Client) -> None:
    """The brief: "no auth but rate bound"."""
    url = address(ada, asked(fresh, ada))["url"]
    anybody = web.client()
    asked_before = 0
    while (answer := anybody.get(url)).status_code == 200:
        asked_before += 1
    assert (answer.status_code, asked_before >= limits.WAIT_PER_MINUTE) == (429, True)
    assert int(answer.headers["Retry-After"]) > 0


def test_there_is_nothing_at_an_address_one_makes_up(web: Web) -> None:
    answer = web.client().get(f"/waits/{'A' * 43}")
    assert answer.status_code == 404
    assert "A" * 43 not in answer.text
    assert web.client().get("/waits/short").status_code == 422


def test_the_address_is_where_people_reach_it(fresh: Fresh) -> None:
    environ = {"BUCKSTOP_PUBLIC_URL": "https://desk.example/"}
    with orchestrating(fresh), running(fresh, environ) as web:
        made = address(web.caller(), asked(fresh, web.caller()))
    assert made["url"] == f"https://desk.example/waits/{made['token']}"
