"""A stand-in for curl, as far as the pages use it: a fresh machine may have none.

python -m tests.curl -sfN -H "Name: value" -d BODY|@file URL
"""

import getopt
import sys
from pathlib import Path

import httpx


def main(words: list[str]) -> int:
    """Ask, and write what is answered as it comes."""
    at = next(n for n, word in enumerate(words) if word.startswith("http"))
    given, _ = getopt.getopt(words[:at] + words[at + 1 :], "sfNH:d:X:")
    headers = dict(value.split(": ", 1) for flag, value in given if flag == "-H")
    bodies = [value for flag, value in given if flag == "-d"]
    content = Path(bodies[0][1:]).read_text() if bodies and bodies[0][0] == "@" else "".join(bodies)
    method = "POST" if bodies else "GET"
    with httpx.stream(method, words[at], headers=headers, content=content, timeout=60) as answer:
        for piece in answer.iter_text():
            sys.stdout.write(piece)
    return 22 if answer.is_error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
