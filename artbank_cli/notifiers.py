"""Find an automation that tells people of alarms.

Either an automation `artbank-alarm-...` sends a notification itself, as `artbank deploy --notify URL` makes it, or
another automation does when one of them has triggered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ALARM = "artbank-alarm-"
"""How the names of alarms begin."""
_TRIGGERED = "prefect.automation.triggered"
_ACTIONS = ("send-notification", "call-webhook", "run-deployment")


def find_notifier(automations: Iterable[Any]) -> str | None:
    """Return the name of an enabled automation that tells people of alarms; None if there is none.

    Args:
        automations: All automations of a server.
    """
    for automation in automations:
        hears = automation.name.startswith(ALARM) or _TRIGGERED in (getattr(automation.trigger, "expect", None) or ())
        if automation.enabled and hears and any(action.type in _ACTIONS for action in automation.actions):
            return automation.name
    return None
