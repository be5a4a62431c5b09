"""The OAuth 2.0 authorization server. docs/decisions/0005-oauth.md explains the design.

`token.py` has the endpoints for clients. The pages where people give and withdraw their consent are
pages/consent.py and pages/applications.py. oauthlib runs the protocol (`server.py`) and calls
`validator.py` for everything that depends on clients, codes, tokens and grants.
"""
