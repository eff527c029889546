// Fetches measurements from an HTTP service, page by page.
//
// The service answers `GET measurements?after=N&limit=M` with `{"measurements": [{"id": 1, "host": …, "time": …,
// "cpu": …}], "more": false}`, ordered by id. The checkpoint is the id of the last one fetched.

import { log } from "./argus/core.js";
import { http } from "./argus/http.js";
import { source } from "./argus/source.js";

export const ingress = source({
  poll(config, checkpoint = "0", { maxRecords }) {
    const limit = Math.min(config.page ?? 1000, maxRecords);
    const page = http.get("service", `measurements?after=${checkpoint}&limit=${limit}`).requireSuccess().json();
    const [named, nameless] = [[], []];
    for (const measurement of page.measurements) {
      (measurement.host ? named : nameless).push(measurement);
    }
    nameless.forEach(({ id }) => log.warn(`measurement ${id} names no host`));
    return {
      // What was not measured is null, never 0.
      records: named.map(({ host, time, cpu = null }) => ({ server_name: host, timestamp: time, cpu_user_pct: cpu })),
      checkpoint: String(page.measurements.at(-1)?.id ?? checkpoint),
      more: page.more,
      skipped: nameless.length,
    };
  },
});
