"""The dispatcher process: a thread that reads events, an event loop that posts deliveries, and a thread that
deletes old deliveries."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import uvloop

from commands.webhooks import disable_webhook
from infrastructure.keys.vault import load_vault
from infrastructure.process.logs import configure_logs
from infrastructure.process.loops import Loops
from infrastructure.process.threads import start_watched
from infrastructure.settings import Settings
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from webhook_dispatcher.address_guard import AddressGuard
from webhook_dispatcher.consumer import Consumer
from webhook_dispatcher.delivery import Deliveries, Options
from webhook_dispatcher.poster import Poster
from webhook_dispatcher.retention import purge_regularly

STOP_POLL_SECONDS = 0.1
CONSUMER_STOP_SECONDS = 5.0
PURGE_STOP_SECONDS = 2.0


def run_dispatcher(settings: Settings, stop: threading.Event, loops: Loops | None = None) -> None:
    """Run until `stop` is set. Several dispatchers share the work through leases and the consumer group."""
    configure_logs(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, stop, loops or Loops()))


def options_of(settings: Settings) -> Options:
    return Options(schedule=settings.webhook_retry_seconds, timeout_seconds=settings.webhook_timeout_seconds)


async def _run(settings: Settings, stop: threading.Event, loops: Loops) -> None:
    dsn = settings.direct_url
    options = options_of(settings)
    guard = AddressGuard(allow_private=settings.webhook_allow_private_addresses)
    pool = make_pool(dsn, application="ticketing-webhook-dispatcher", max_size=3)
    vault = load_vault(settings)
    store = EventStore(pool, vault, lock=settings.event_log_lock)
    stopping = asyncio.Event()
    async with Poster(guard, timeout_seconds=options.timeout_seconds) as poster:
        disable = partial(disable_webhook, store)
        deliveries = Deliveries(dsn, poster, vault, options, disable, loops)
        consumer = Consumer(settings, store, deliveries.wake, loops.add("consumer"))
        consuming = start_watched(partial(consumer.run, stop), name="consumer")
        purging = start_watched(partial(purge_regularly, settings, stop), name="retention")
        sending = asyncio.create_task(deliveries.run(stopping))
        while not stop.is_set() and not sending.done():
            await asyncio.sleep(STOP_POLL_SECONDS)
        stopping.set()
        await sending
    await asyncio.to_thread(consuming.join, CONSUMER_STOP_SECONDS)
    await asyncio.to_thread(purging.join, PURGE_STOP_SECONDS)
    store.close()
    pool.close()
