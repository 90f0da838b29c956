"""A server's address, put together from its URL and a password that is kept elsewhere.

Passwords stand in files of their own where containers run: a URL is shown by whoever lists
processes and their environment. Read by the settings of both sides; pure.
"""

from urllib.parse import quote, urlsplit


def with_password(url: str, password: str) -> str:
    """Return the URL with its user's password; one that stands there already stays."""
    parts = urlsplit(url)
    if parts.password is not None:
        return url
    where = parts.netloc.rpartition("@")[2]
    user = parts.username or ""  # as it is written: quoted already
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{where}").geturl()
