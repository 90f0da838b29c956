"""A shop's own Celery tasks. With one decorator each they are Buckstop agents as well."""

from celery import Celery, Task, shared_task

from workers.adapters.celery import as_agent

app = Celery("shop", broker="redis://localhost:6379/0")  # yours, as it was


@as_agent("translate", confidence=0.9, tokens=2_000)
@app.task
def translate(text: str) -> str:
    """Translate a menu."""
    return text.replace("otter", "Otter").replace("soup", "Suppe")


@as_agent("price", confidence=1.0, tokens=0, calls=1)
@shared_task(bind=True)
def price(self: Task, dish: str) -> dict:
    """Look up a price."""
    return {"dish": dish, "cents": 100 * len(dish), "quoted_in": self.request.id}
