// Posts alerts as messages to a chat.

import { http } from "./argus/http.js";
import { sink } from "./argus/sink.js";

// `config` is the `[plugins.NAME.config]` table. The host has checked it against config.schema.json.
export const delivery = sink({
  deliver(config, notification, key) {
    const mention = notification.severity === "critical" && config.mention ? `${config.mention} ` : "";
    const text = `${mention}[${notification.event}] ${notification.summary}`;
    const answer = http
      .post("chat", "messages", {
        headers: { "idempotency-key": key },
        json: { channel: config.channel, text },
      })
      .requireSuccess();
    return { message: `answered ${answer.status}` };
  },
});
