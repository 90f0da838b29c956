"""Key files are private, never overwritten, and named when they are wrong."""

import stat
from pathlib import Path

import pytest

from envelopes.seal import Forged, Signer, Verifier
from orchestrator import keyfile
from orchestrator.keyfile import KeyFileError, KeyPair


def test_what_the_private_half_signs_the_public_half_accepts(tmp_path: Path) -> None:
    """Signatures are Ed25519: orchestrators sign, workers can only verify."""
    pair = keyfile.make(tmp_path)
    signer = Signer(keyfile.read_private(pair.private))
    verifier = Verifier(keyfile.read_public(pair.public))
    [seal] = signer.seal([b"text"])
    verifier.check(b"text", seal)
    with pytest.raises(Forged):
        verifier.check(b"another text", seal)


def test_only_its_owner_can_read_the_private_half(tmp_path: Path) -> None:
    """Private 0600."""
    pair = keyfile.make(tmp_path)
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    """A key that is lost makes every message out there look forged."""
    pair = keyfile.make(tmp_path)
    before = pair.private.read_text(), pair.public.read_text()
    with pytest.raises(KeyFileError, match=r"never overwritten.*--dir"):
        keyfile.make(tmp_path)
    pair.private.unlink()
    with pytest.raises(KeyFileError, match="never overwritten"):
        keyfile.make(tmp_path)
    assert not pair.private.exists()
    pair.private.write_text(before[0])
    pair.public.unlink()
    with pytest.raises(KeyFileError, match="never overwritten"):
        keyfile.make(tmp_path)
    assert pair.private.read_text() == before[0]


def test_ensuring_a_pair_keeps_it_and_completes_it(tmp_path: Path) -> None:
    """Keys are made "automatically for the embedded server", once."""
    pair = keyfile.ensure(tmp_path)
    before = pair.private.read_text(), pair.public.read_text()
    assert keyfile.ensure(tmp_path) == pair == KeyPair.in_directory(tmp_path)
    pair.public.unlink()
    keyfile.ensure(tmp_path)
    assert (pair.private.read_text(), pair.public.read_text()) == before


def test_several_public_keys_are_read_for_rotation(tmp_path: Path) -> None:
    """Workers have public keys: one per line, several for rotation."""
    old, new = keyfile.make(tmp_path / "old"), keyfile.make(tmp_path / "new")
    both = tmp_path / "both.pub"
    both.write_text(old.public.read_text() + "\n" + new.public.read_text())
    keys = keyfile.read_public(both)
    assert keys == keyfile.read_public(old.public) + keyfile.read_public(new.public)
    verifier = Verifier(keys)
    for pair in (old, new):
        verifier.check(b"x", Signer(keyfile.read_private(pair.private)).seal([b"x"])[0])


@pytest.mark.parametrize("text", ["", "hello", "c2VjcmV0LWJ1dC1zaG9ydA==", "ä" * 43])
def test_a_file_that_is_no_key_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    """Helpful errors; and a secret in the wrong place stays out of the logs."""
    file = tmp_path / "broken.key"
    file.write_text(text)
    with pytest.raises(KeyFileError, match=r"broken\.key") as refused:
        keyfile.read_private(file)
    assert text == "" or text not in str(refused.value)
    with pytest.raises(KeyFileError, match=r"broken\.key"):
        keyfile.read_public(file)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    """Helpful errors: which file."""
    with pytest.raises(KeyFileError, match=r"nothing\.key cannot be read"):
        keyfile.read_private(tmp_path / "nothing.key")
