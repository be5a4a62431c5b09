"""Receive webhooks on this machine, verify their signatures and print them, one line each.

    python3 webhook_receiver.py --port 9000 --secret-file webhook-secret

Needs only Python 3.8 or later. For trying webhooks out, and an example of verifying them without a library.
"""

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_SECONDS = 300  # older posts may be repetitions by somebody who has recorded them
MOST_BYTES = 1048576


def key_of(secret):
    """The key that signs, from a secret of the API (`whsec_` and base64) or one that was chosen freely."""
    if secret.startswith("whsec_"):
        return base64.b64decode(secret[len("whsec_") :])
    return secret.encode()


def is_signed(key, headers, body, now):
    """Whether one of the signatures of a post is valid (https://www.standardwebhooks.com)."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    digest = hmac.new(key, ("%s.%s." % (message_id, timestamp)).encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    return any(hmac.compare_digest(expected, each) for each in headers.get("webhook-signature", "").split())


class Handler(BaseHTTPRequestHandler):
    """Answers 204 to a post with a valid signature, otherwise 401."""

    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), MOST_BYTES))
        if is_signed(self.server.key, self.headers, body, time.time()):
            message = json.loads(body)
            data = message["data"]
            print("verified", message["event"], data.get("title", data.get("id", "")), flush=True)
            self.send_response(204)
        else:
            print("refused a post without a valid signature", flush=True)
            self.send_response(401)
        self.end_headers()

    def log_message(self, *_):
        """Print only the lines above."""


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--port", type=int, default=9000, help="the port of 127.0.0.1 to listen on")
    options.add_argument("--secret-file", required=True, help="a file with the secret of the webhook")
    chosen = options.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", chosen.port), Handler)
    with open(chosen.secret_file) as file:
        server.key = key_of(file.read().strip())
    print("Waits for posts at http://127.0.0.1:%d" % server.server_port, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
