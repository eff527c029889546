// Plugins of the kind `source`: they fetch records from somewhere else.

import { query as hostQuery } from "argus:plugin/connector@0.1.0";

import { decode, encode, exported, fromPairs, host, toPairs } from "./core.js";

/** Documents of a connector, all pages one after the other: `for (const document of query("mongo", "find", {…})) …`. */
export function* query(connector, operation, body, options = {}, maxDocuments = 1000) {
  const bytes = encode(typeof body === "string" ? body : JSON.stringify(body));
  const cursor = host(() => hostQuery(connector, operation, bytes, toPairs(options)));
  for (;;) {
    const page = host(() => cursor.next(maxDocuments, 1 << 20, 1000));
    for (const line of decode(page.documents).split("\n")) {
      if (line.trim() !== "") {
        yield JSON.parse(line);
      }
    }
    if (page.last) {
      return;
    }
  }
}

/**
 * Makes the export of a source:
 * `export const ingress = source({ check(config) {…}, poll(config, checkpoint, { maxRecords }) {…} });`
 *
 * `checkpoint` is undefined for the first poll ever, else the text that an earlier poll returned. `poll` returns
 * `{ records, checkpoint, more, skipped }`: records as `POST /feed` takes them. The host stores records and checkpoint
 * together or neither.
 */
export const source = ({ check = () => {}, poll }) => ({
  check: exported((config) => {
    check(config);
  }),
  poll: exported((config, checkpoint, maxRecords, options) => {
    const before = checkpoint === undefined || checkpoint === null ? undefined : decode(checkpoint);
    const batch = poll(config, before, { maxRecords, ...fromPairs(options) });
    const lines = (batch.records ?? []).map((record) => `${JSON.stringify(record)}\n`).join("");
    return {
      content: "records",
      items: encode(lines),
      checkpoint: encode(batch.checkpoint ?? before ?? ""),
      more: batch.more ?? false,
      skipped: batch.skipped ?? 0,
    };
  }),
});
