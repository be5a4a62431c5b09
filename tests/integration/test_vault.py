"""What is sealed is opened with the right key, for the right purpose, or not at all."""

import base64
import stat

import pytest

from infrastructure.keys.vault import CannotOpen, Vault, is_sealed, load_vault, make_key_file, verify_vault
from infrastructure.settings import BadSettings, load_settings

ONE, OTHER = bytes(range(32)), bytes(range(1, 33))


def test_what_was_sealed_is_opened():
    vault = Vault([ONE])

    sealed = vault.seal(b"secret", purpose="webhook/1")

    assert b"secret" not in sealed
    assert vault.open(sealed, purpose="webhook/1") == b"secret"


def test_the_same_secret_never_looks_the_same_twice():
    vault = Vault([ONE])

    assert vault.seal(b"secret", purpose="x") != vault.seal(b"secret", purpose="x")


def test_another_purpose_or_key_or_a_flipped_byte_opens_nothing():
    sealed = Vault([ONE]).seal(b"secret", purpose="webhook/1")

    with pytest.raises(CannotOpen):
        Vault([ONE]).open(sealed, purpose="webhook/2")
    with pytest.raises(CannotOpen):
        Vault([OTHER]).open(sealed, purpose="webhook/1")
    for index in range(len(sealed)):
        flipped = bytearray(sealed)
        flipped[index] ^= 1
        with pytest.raises(CannotOpen):
            Vault([ONE]).open(bytes(flipped), purpose="webhook/1")


def test_a_new_key_in_front_seals_and_the_old_one_still_opens():
    old = Vault([ONE]).seal(b"old", purpose="x")
    rotated = Vault([OTHER, ONE])

    assert rotated.open(old, purpose="x") == b"old"
    assert Vault([OTHER]).open(rotated.seal(b"new", purpose="x"), purpose="x") == b"new"


@pytest.mark.parametrize("text", ["short", "!" * 44, base64.b64encode(bytes(31)).decode(), ","])
def test_a_master_key_that_is_none_is_refused(tmp_path, text):
    with pytest.raises(BadSettings, match="MASTER_KEY must be 32 random bytes"):
        load_vault(load_settings({"TICKETING_HOME": str(tmp_path), "MASTER_KEY": text}))


def test_without_a_master_key_the_message_tells_how_to_make_one(tmp_path):
    with pytest.raises(BadSettings, match="MASTER_KEY is not set"):
        load_vault(load_settings({"TICKETING_HOME": str(tmp_path)}))


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path):
    settings = load_settings({"TICKETING_HOME": str(tmp_path / "home")})
    make_key_file(settings)
    sealed = load_vault(settings).seal(b"secret", purpose="x")

    make_key_file(settings)

    assert load_vault(settings).open(sealed, purpose="x") == b"secret"
    assert stat.S_IMODE((tmp_path / "home" / "master-key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["master-key"]


def test_another_key_than_the_databases_is_refused(conn):
    assert not is_sealed(conn)
    verify_vault(conn, Vault([ONE]))

    assert is_sealed(conn)
    verify_vault(conn, Vault([OTHER, ONE]))
    with pytest.raises(BadSettings, match="not the key this database was sealed with"):
        verify_vault(conn, Vault([OTHER]))
