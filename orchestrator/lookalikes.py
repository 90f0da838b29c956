"""Names that could be taken for another's: who decided is read by people, letter by letter.

    name = plain("ada")                       as it is written; or Refused: ada with a Cyrillic a
    taken_for("ada", {"Ada", "\u0430d\u0430"})      the name that it looks like, or None

Three ways in which a name can be another one to the eye, and what is done about each:

- characters that are not seen, or that stand for others (fullwidth letters, ligatures): refused;
- letters of several alphabets in one word: refused, but for what is written so in East Asia;
- a word wholly in another alphabet, or l for I and O for 0: a name of its own, unless somebody has
  the one that it looks like.

The alphabets are those whose letters look like Latin ones; UTS 39 of Unicode has longer tables, of
which this is what a reader of Latin, Greek or Cyrillic script would fall for.

Not here: which characters no name may have (SHOWN_PATTERN in tokens.py, which HTTP tells callers).
"""

import unicodedata
from collections.abc import Iterable
from typing import Final

from envelopes.strict import Refused
from orchestrator.settings import NO_PERSON

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_UNSEEN_LETTERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and a symbol by their category, and blank on every screen."""
_VARIANTS: Final = ("\u180b\u180d", "\u180f\u180f", "\ufe00\ufe0f", "\U000e0100\U000e01ef")
"""What chooses another picture of the character before, and is none itself."""
_AM: Final = {0x0E33: "\u0e4d\u0e32", 0x0EB3: "\u0ecd\u0eb2"}
"""Vowels of Thai and Lao, which Unicode takes apart as if nobody wrote them whole; all do."""
_LETTERS: Final = frozenset({"Ll", "Lu", "Lt", "Lo"})
_TOGETHER: Final = frozenset(
    {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC", "HANGUL", "BOPOMOFO"}
)
"""Scripts that are written side by side, also with Latin letters; none looks like those."""
_ALIKE: Final = (
    ("Il1|", "llll"),
    ("0", "O"),
    ("\u0251\u0261\u0131", "agi"),
    # Cyrillic, then Greek, then Armenian letters, each above the Latin one that it looks like.
    ("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458", "aeopcyxsij"),
    ("\u04bb\u0501\u051b\u051d\u04cf\u04c0\u044c\u0475", "hdqwllbv"),
    ("\u0410\u0412\u0415\u0417\u041a\u041c\u041d\u041e\u0420\u0421", "ABE3KMHOPC"),
    ("\u0422\u0423\u0425\u0405\u0406\u0408\u051a\u051c\u04ae", "TYXSlJQWY"),
    ("\u03b1\u03b9\u03ba\u03bd\u03bf\u03c1\u03c5\u03c7\u03f2\u03f3", "aikvopuxcj"),
    ("\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f", "ABEZHlKMNO"),
    ("\u03a1\u03a4\u03a5\u03a7\u037f", "PTYXJ"),
    ("\u0585\u0578\u057d\u0570\u0566\u0563\u0584\u054d\u0555", "onuhqqpUO"),
)
_SKELETON: Final = str.maketrans(
    {other: latin for others, latins in _ALIKE for other, latin in zip(others, latins, strict=True)}
)


def plain(name: str) -> str:
    """Return a name with its accents in one form, or raise Refused where it can be misread."""
    name = unicodedata.normalize("NFC", name)
    if unseen := next((each for each in name if _is_unseen(each)), None):
        raise Refused("name", f"U+{ord(unseen):04X} in it is not seen on a screen; leave it out")
    usual = unicodedata.normalize("NFKC", name)
    if usual != name.translate(_AM):
        raise Refused("name", f"it can be taken for {usual!r}; if that is meant, write it so")
    for word in name.split(" "):
        _require_one_alphabet(word)
    if name.lower() in NO_PERSON or taken_for(name.lower(), NO_PERSON):
        raise Refused("name", "records say so where no person has decided; choose another")
    return name


def taken_for(name: str, others: Iterable[str]) -> str | None:
    """Return a name among others that this one could be taken for; the same one is no other."""
    looks = _skeleton(name)
    alike = (each for each in others if each != name and _skeleton(each) == looks)
    return next(alike, None)


def _is_unseen(character: str) -> bool:
    return (
        unicodedata.category(character) in _UNSEEN
        or character in _UNSEEN_LETTERS
        or any(first <= character <= last for first, last in _VARIANTS)
    )


def _require_one_alphabet(word: str) -> None:
    found = {_alphabet(each) for each in word if unicodedata.category(each) in _LETTERS}
    if len(found) > 1 and not found <= _TOGETHER | {"LATIN"}:
        which = " and ".join(sorted(each.capitalize() for each in found))
        raise Refused(
            "name", f"letters of {which} stand in one word of it, which reads as another; use one"
        )


def _alphabet(letter: str) -> str:
    """Name a letter's script: the first word of what Unicode calls it."""
    return unicodedata.name(letter, "unnamed").split(" ")[0]


def _skeleton(name: str) -> str:
    """Return what is left of a name once all that looks alike is the same; rn is an m."""
    bare = unicodedata.normalize("NFD", name.translate(_SKELETON).translate(_AM))
    return bare.translate(_SKELETON).replace("m", "rn")
