"""Posts alerts as messages to a chat."""

import argus
from argus_sink import Notification, Receipt, Sink


class Delivery(Sink):
    # `config` is the `[plugins.NAME.config]` table. The host has checked it against config.schema.json.
    def deliver_notification(self, config: dict, notification: Notification, key: str) -> Receipt:
        text = f"[{notification.event}] {notification.summary}"
        if notification.severity == "critical" and config.get("mention"):
            text = f"{config['mention']} {text}"
        answer = argus.post(
            "chat",
            "messages",
            headers={"idempotency-key": key},
            json={"channel": config["channel"], "text": text},
        ).require_success()
        return Receipt(message=f"answered {answer.status}")
