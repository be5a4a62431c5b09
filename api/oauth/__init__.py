"""OAuth 2.0: the authorization server. docs/decisions/0005-oauth.md tells why it is built as it is.

`authorize.py` asks the person, `token.py` serves the clients, `applications.py` lets the person take a
consent back. The protocol's order of checks is oauthlib's (`server.py`); what it asks about our clients
and grants is answered by `validator.py`.
"""
