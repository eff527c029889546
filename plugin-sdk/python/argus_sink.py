"""Plugins of the kind `sink`: they carry notifications somewhere else."""

from dataclasses import replace
from typing import Any, Optional

import argus
from wit_world.exports import delivery
from wit_world.exports.delivery import Notification

__all__ = ["Notification", "Receipt", "Sink"]


def Receipt(remote_id: Optional[str] = None, message: Optional[str] = None) -> delivery.Receipt:
    """The far side took the notification: what it calls it, and a remark."""
    return delivery.Receipt(remote_id, message)


class Sink:
    """Derive a class named `Delivery` from this.

    `deliver` carries one notification (its labels and annotations are dictionaries) and may return a `Receipt`. It is
    called again with the same key where the outcome of an attempt was never learnt: pass the key on wherever the far
    side understands one.
    """

    def check_config(self, config: dict[str, Any]) -> None:
        """Raises an `argus.ArgusError` if the settings cannot work. Sends nothing that people would see."""

    def deliver_notification(self, config: dict[str, Any], notification: Any, key: str) -> Optional[delivery.Receipt]:
        raise NotImplementedError

    def check(self) -> None:
        argus.exported(self.check_config)

    def deliver(self, notification: Notification, idempotency_key: str) -> delivery.Receipt:
        plain = replace(
            notification,
            labels=argus.from_pairs(notification.labels),
            annotations=argus.from_pairs(notification.annotations),
        )
        return argus.exported(self.deliver_notification, plain, idempotency_key) or Receipt()
