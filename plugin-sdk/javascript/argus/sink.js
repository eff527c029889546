// Plugins of the kind `sink`: they carry notifications somewhere else.

import { exported, fromPairs } from "./core.js";

const number = (value) => (value === undefined || value === null ? undefined : Number(value));

/** A notification with times as numbers, and labels and annotations as objects. */
const plain = (notification) => ({
  ...notification,
  expectedBreachMs: number(notification.expectedBreachMs),
  startedAtMs: Number(notification.startedAtMs),
  updatedAtMs: Number(notification.updatedAtMs),
  endsAtMs: number(notification.endsAtMs),
  labels: fromPairs(notification.labels),
  annotations: fromPairs(notification.annotations),
});

/**
 * Makes the export of a sink: `export const delivery = sink({ check(config) {…}, deliver(config, notification, key) {…} });`
 *
 * `deliver` carries one notification and may return `{ remoteId, message }`. It is called again with the same key where
 * the outcome of an attempt was never learnt: pass the key on wherever the far side understands one.
 */
export const sink = ({ check = () => {}, deliver }) => ({
  check: exported((config) => {
    check(config);
  }),
  deliver: exported((config, notification, key) => {
    const { remoteId, message } = deliver(config, plain(notification), key) ?? {};
    return { remoteId, message };
  }),
});
