// What a plugin remembers from one call to the next: small values under keys of its own, kept on disk by the host.

import * as hostState from "argus:plugin/state@0.1.0";

import { decode, encode, host } from "./core.js";

export const state = {
  /** The text under a key, or undefined. */
  get(key) {
    const value = hostState.get(key);
    return value === undefined || value === null ? undefined : decode(value);
  },

  /** Sets the text under a key, for `keepSecs` seconds or for good. */
  set(key, value, keepSecs = undefined) {
    host(() => hostState.set(key, encode(value), keepSecs));
  },

  /** Sets the text only if it is still `expected` (undefined: only if there is none), and says whether it was. */
  compareAndSet(key, expected, value, keepSecs = undefined) {
    const before = expected === undefined ? undefined : encode(expected);
    return host(() => hostState.compareAndSet(key, before, encode(value), keepSecs));
  },

  /** Forgets a key. */
  remove(key) {
    host(() => hostState.remove(key));
  },
};
