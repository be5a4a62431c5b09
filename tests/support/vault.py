"""The vault with the master key of the tests and of the processes that they start."""

from __future__ import annotations

from infrastructure.keys.vault import load_vault
from infrastructure.settings import load_settings
from tests.support.commands import MASTER_KEY

VAULT = load_vault(load_settings({"MASTER_KEY": MASTER_KEY}))
