"""The vault decrypts only with the right key and for the right purpose."""

import base64
import stat

import pytest

from infrastructure.keys.vault import (
    CannotDecrypt,
    Vault,
    has_master_key,
    load_vault,
    make_key_file,
    verify_vault,
)
from infrastructure.settings import BadSettings, load_settings

ONE, OTHER = bytes(range(32)), bytes(range(1, 33))


def test_encrypted_data_is_decrypted():
    vault = Vault([ONE])

    encrypted = vault.encrypt(b"secret", purpose="webhook/1")

    assert b"secret" not in encrypted
    assert vault.decrypt(encrypted, purpose="webhook/1") == b"secret"


def test_the_same_secret_is_encrypted_differently_each_time():
    vault = Vault([ONE])

    assert vault.encrypt(b"secret", purpose="x") != vault.encrypt(b"secret", purpose="x")


def test_data_with_another_purpose_or_key_or_a_flipped_bit_is_not_decrypted():
    encrypted = Vault([ONE]).encrypt(b"secret", purpose="webhook/1")

    with pytest.raises(CannotDecrypt):
        Vault([ONE]).decrypt(encrypted, purpose="webhook/2")
    with pytest.raises(CannotDecrypt):
        Vault([OTHER]).decrypt(encrypted, purpose="webhook/1")
    for index in range(len(encrypted)):
        flipped = bytearray(encrypted)
        flipped[index] ^= 1
        with pytest.raises(CannotDecrypt):
            Vault([ONE]).decrypt(bytes(flipped), purpose="webhook/1")


def test_the_first_key_encrypts_and_older_keys_still_decrypt():
    old = Vault([ONE]).encrypt(b"old", purpose="x")
    rotated = Vault([OTHER, ONE])

    assert rotated.decrypt(old, purpose="x") == b"old"
    assert Vault([OTHER]).decrypt(rotated.encrypt(b"new", purpose="x"), purpose="x") == b"new"


@pytest.mark.parametrize("text", ["short", "!" * 44, base64.b64encode(bytes(31)).decode(), ","])
def test_an_invalid_master_key_is_refused(tmp_path, text):
    with pytest.raises(BadSettings, match="MASTER_KEY must be 32 random bytes"):
        load_vault(load_settings({"TICKETING_HOME": str(tmp_path), "MASTER_KEY": text}))


def test_a_missing_master_key_is_reported(tmp_path):
    with pytest.raises(BadSettings, match="MASTER_KEY is not set"):
        load_vault(load_settings({"TICKETING_HOME": str(tmp_path)}))


def test_a_key_file_is_created_once_and_only_its_owner_can_read_it(tmp_path):
    settings = load_settings({"TICKETING_HOME": str(tmp_path / "home")})
    make_key_file(settings)
    encrypted = load_vault(settings).encrypt(b"secret", purpose="x")

    make_key_file(settings)

    assert load_vault(settings).decrypt(encrypted, purpose="x") == b"secret"
    assert stat.S_IMODE((tmp_path / "home" / "master-key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["master-key"]


def test_the_key_of_another_database_is_refused(conn):
    assert not has_master_key(conn)
    verify_vault(conn, Vault([ONE]))

    assert has_master_key(conn)
    verify_vault(conn, Vault([OTHER, ONE]))
    with pytest.raises(BadSettings, match="not the key of this database"):
        verify_vault(conn, Vault([OTHER]))
