"""The traces of requests whose trace does not follow from the request id: clients sent a trace context."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from infrastructure.process.trace_ids import Trace
from infrastructure.storage.postgres import Connection, Statement, named_queries

Lookup = Callable[[str], Trace]

sql = named_queries(Path(__file__).parent / "sql" / "traces.sql")


def statement_to_store(request_id: str, trace: Trace) -> Statement:
    """The statement that stores the trace of a request, for the commit of its events."""
    parameters = {"request_id": request_id, "trace_id": trace.trace_id, "is_sampled": trace.is_sampled}
    return sql["store_trace"], parameters


def read_traces(conn: Connection, request_ids: Collection[str]) -> dict[str, Trace]:
    """The stored traces of these requests, by request id."""
    rows = conn.execute(sql["read_traces"], {"request_ids": list(request_ids)})
    return {request_id: Trace(trace_id, is_sampled) for request_id, trace_id, is_sampled in rows}
