"""Texts cut to a length, with a sign that there was more.

Read by whatever shows a stranger's text, on both sides.
"""


def shortened(text: str, most: int) -> str:
    """Return a text as it is, or its first characters and an ellipsis behind them."""
    return text if len(text) <= most else f"{text[:most]}…"
