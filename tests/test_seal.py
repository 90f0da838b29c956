"""Only an orchestrator can sign, any worker can check, and no byte can be changed in between."""

from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from envelopes import seal
from envelopes.seal import Forged, Signer, Verifier, key_id

PRIVATE = bytes(range(32))
PUBLIC = Ed25519PrivateKey.from_private_bytes(PRIVATE).public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
TEXTS = [b'{"task":"t","subtask":%d}' % number for number in range(7)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 1000])
def test_every_message_of_a_stage_has_a_seal_of_its_own(count: int) -> None:
    """One signature for all messages of a commit, whatever their number."""
    texts = [b"message %d" % number for number in range(count)]
    seals = Signer(PRIVATE).seal(texts)
    verifier = Verifier([PUBLIC])
    assert len(set(seals)) == count
    assert len({each.split(".")[1] for each in seals}) == 1
    for text, each in zip(texts, seals, strict=True):
        verifier.check(text, each)


def test_a_verified_root_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker "remembers the roots whose signature held": the second message costs only hashes."""
    checked = []
    real = Verifier._check_root
    monkeypatch.setattr(Verifier, "_check_root", lambda *args: checked.append(args) or real(*args))
    verifier = Verifier([PUBLIC])
    for text, each in zip(TEXTS, Signer(PRIVATE).seal(TEXTS), strict=True):
        verifier.check(text, each)
    assert len(checked) == 1


def test_the_roots_in_mind_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stranger can make a worker remember without end."""
    monkeypatch.setattr(seal, "ROOTS_REMEMBERED", 3)
    verifier, signer = Verifier([PUBLIC]), Signer(PRIVATE)
    for number in range(10):
        verifier.check(b"%d" % number, signer.seal([b"%d" % number])[0])
    assert len(verifier._roots) == 3


@pytest.mark.parametrize("place", range(len(TEXTS[3])))
def test_no_byte_of_a_message_can_be_changed(place: int) -> None:
    """Editing a header: refused, also when its stage was checked before."""
    seals = Signer(PRIVATE).seal(TEXTS)
    verifier = Verifier([PUBLIC])
    verifier.check(TEXTS[3], seals[3])
    edited = bytearray(TEXTS[3])
    edited[place] ^= 1
    with pytest.raises(Forged, match="does not fit"):
        verifier.check(bytes(edited), seals[3])


def test_a_seal_fits_no_other_message_of_its_stage() -> None:
    """Seals cannot be swapped: each leaf has its own place."""
    seals = Signer(PRIVATE).seal(TEXTS)
    verifier = Verifier([PUBLIC])
    for number, text in enumerate(TEXTS):
        with pytest.raises(Forged):
            verifier.check(text, seals[number - 1])


def test_an_inner_node_cannot_pass_for_a_message() -> None:
    """The promise: "A node can never pass for a leaf": leaves and nodes are hashed differently."""
    texts = TEXTS[:4]
    seals = Signer(PRIVATE).seal(texts)
    key, signature, _, _, uncle = seals[0].split(".")
    levels = seal._levels([seal.sha256(b"\0" + text).digest() for text in texts])
    node = levels[0][0] + levels[0][1]
    with pytest.raises(Forged):
        Verifier([PUBLIC]).check(node, f"{key}.{signature}.0.{uncle}")


@pytest.mark.parametrize("part", [0, 1, 3, 4])
def test_no_part_of_a_seal_can_be_exchanged(part: int) -> None:
    """Key id, signature, leaf number and path: each is held."""
    text_seal = Signer(PRIVATE).seal(TEXTS)[2]
    other = Signer(bytes(32)).seal([text + b"x" for text in TEXTS])[2]
    parts = text_seal.split(".")
    parts[part] = other.split(".")[part]
    with pytest.raises(Forged):
        Verifier([PUBLIC, OTHER]).check(TEXTS[2], ".".join(parts))


@pytest.mark.parametrize("number", ["0", "1", "3", "6"])
def test_a_seal_says_at_which_place_its_leaf_stands(number: str) -> None:
    """With another number the path leads to another root."""
    parts = Signer(PRIVATE).seal(TEXTS)[2].split(".")
    parts[2] = number
    with pytest.raises(Forged):
        Verifier([PUBLIC]).check(TEXTS[2], ".".join(parts))


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a.b.c", "a.b.0.!", "a.b.-1", "a.b.1e3", "é.b.0", "a.b.0.x"),
        *("a." + "A" * 99, "." * 10_000, "0" * 100_000, "a.b." + "9" * 5_000),
    ],
    ids=lambda text: text[:10],
)
def test_what_is_no_seal_is_forged_and_nothing_worse(text: str) -> None:
    """A stranger's text never raises anything but Forged."""
    with pytest.raises(Forged):
        Verifier([PUBLIC]).check(b"x", text)


def test_a_signature_that_is_no_base64_is_forged() -> None:
    """A stranger who knows our key's name still raises nothing but Forged."""
    for signature in ("!", "A", "é", "A" * 85, ""):
        with pytest.raises(Forged):
            Verifier([PUBLIC]).check(b"x", f"{key_id(PUBLIC)}.{signature}.0")


def test_a_key_of_somebody_else_is_named() -> None:
    """The promise: "Foreign key": each refusal has its own reason."""
    with pytest.raises(Forged, match=f"signed with key '{key_id(OTHER)}', which is none of ours"):
        Verifier([PUBLIC]).check(b"x", Signer(bytes(32)).seal([b"x"])[0])


def test_keys_can_be_changed_while_messages_are_on_their_way() -> None:
    """Rotation: a worker that knows both keys takes messages of both."""
    both = Verifier([OTHER, PUBLIC])
    both.check(b"old", Signer(PRIVATE).seal([b"old"])[0])
    both.check(b"new", Signer(bytes(32)).seal([b"new"])[0])


def test_a_good_root_under_another_signature_is_not_taken_from_memory() -> None:
    """Memory holds key, root and signature together."""
    verifier = Verifier([PUBLIC])
    good = Signer(PRIVATE).seal([b"x"])[0]
    verifier.check(b"x", good)
    key, signature, *rest = good.split(".")
    forged = urlsafe_b64encode(bytes(64)).rstrip(b"=").decode()
    assert len(forged) == len(signature)
    with pytest.raises(Forged):
        verifier.check(b"x", ".".join((key, forged, *rest)))
