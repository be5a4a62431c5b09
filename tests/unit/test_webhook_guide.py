"""docs/how-to/webhooks.md agrees with the code."""

import re
import time
from pathlib import Path
from typing import get_args

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from domain.webhook import WEBHOOK_EVENT_NAMES, DeliveryStatus, MessageName
from infrastructure.settings import load_settings
from webhook_dispatcher.delivery import Options
from webhook_dispatcher.payloads import EVERY_EVENT, TEST_EVENT
from webhook_dispatcher.signing import key_of, sign

GUIDE = (Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md").read_text()
GUIDE_ON_ONE_LINE = " ".join(GUIDE.split())
SECONDS = {"s": 1, "min": 60, "h": 3_600}


def load_example_function():
    names = {}
    exec(re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)[1], names)  # the guide's own code
    return names["verify_post"]


@pytest.mark.parametrize("secret", ["whsec_" + "A" * 32, "your_webhook_secret"])
def test_the_example_code_accepts_our_posts_and_refuses_changed_ones(secret):
    body = b'{"event":"ticket.created"}'
    headers = sign([key_of(secret)], message_id="msg_1", timestamp=int(time.time()), body=body)

    assert load_example_function()(headers, body, secret) == {"event": "ticket.created"}
    with pytest.raises(WebhookVerificationError):
        load_example_function()(headers, body + b" ", secret)


def test_the_guide_lists_every_event():
    assert sorted(re.findall(r"^\| `((?:ticket|webhook)\.\S+)` \|", GUIDE, re.MULTILINE)) == sorted(
        WEBHOOK_EVENT_NAMES
    )


def test_deliveries_can_be_filtered_by_every_name_and_by_no_other():
    assert set(get_args(MessageName)) == {*WEBHOOK_EVENT_NAMES, TEST_EVENT} - {EVERY_EVENT}


def test_the_guide_states_the_default_schedule_and_limits():
    text = re.search(r"tried again after (.*?), a little later", GUIDE_ON_ONE_LINE)[1]
    waits = [float(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", text)]
    settings = load_settings({})
    options = Options(schedule=settings.webhook_retry_seconds)

    assert tuple(waits) == settings.webhook_retry_seconds
    assert f"2xx within {settings.webhook_timeout_seconds:g} seconds" in GUIDE_ON_ONE_LINE
    assert f"deleted after {settings.webhook_retention_days} days" in GUIDE_ON_ONE_LINE
    assert f"one post every {options.breaker_pause_seconds:g} seconds" in GUIDE_ON_ONE_LINE
    assert options.give_up_seconds == 5 * 86_400
    assert all(f"`{status}`" in GUIDE for status in DeliveryStatus.__args__)
