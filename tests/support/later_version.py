"""This program as a later version with other read tables, for processes beside those of this version."""

LATER_SCHEMA = "read_0123456789ab"


def later_version() -> None:
    """Run what the installed script of that version would run."""
    from infrastructure.storage import addresses
    from projections import live_tables, schema

    schema._FINGERPRINT = "read tables of a later version"
    schema.OWN = live_tables.OWN = LATER_SCHEMA
    addresses.PROGRAM = 9_003
    from cli.main import main

    main()
