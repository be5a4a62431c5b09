"""Buckets for attachments: an S3 server (moto) on loopback, and one that breaks off its answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}


class BucketServer:
    """An S3 server."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._s3 = boto3.resource(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key="tests",
        )

    def create(self, name: str) -> dict[str, str]:
        """The variables of a process that uses a new, empty bucket. Servers of one process share buckets."""
        self._s3.create_bucket(Bucket=name).objects.delete()
        return {"ATTACHMENTS_S3_BUCKET": name, "ATTACHMENTS_S3_ENDPOINT": self.endpoint, **CREDENTIALS}

    def files_of(self, name: str) -> dict[str, bytes]:
        return {each.key: each.get()["Body"].read() for each in self._s3.Bucket(name).objects.all()}

    def delete(self, name: str, key: str) -> None:
        self._s3.Object(name, key).delete()


@contextmanager
def running_buckets() -> Iterator[BucketServer]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield BucketServer(f"http://{host}:{port}")
    finally:
        server.stop()


@contextmanager
def bucket_that_breaks_off() -> Iterator[str]:
    """The endpoint of a server that closes the connection within each content."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _BreakingOff)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _BreakingOff(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"first bytes")

    def log_message(self, *_: Any) -> None:
        """Log nothing."""
