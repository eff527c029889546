// What every kind of plugin uses: errors, logging, time, settings, memory.

import { nowMs as hostNowMs } from "argus:plugin/clock@0.1.0";
import { json as settingsJson } from "argus:plugin/config@0.1.0";
import { panicked, write } from "argus:plugin/log@0.1.0";

/** A failure: a stable word for programs, a sentence for people, and whether trying again later may help. */
export class ArgusError extends Error {
  constructor(code, message, retryable = false) {
    super(message);
    this.name = "ArgusError";
    this.code = code;
    this.retryable = retryable;
  }

  /** A failure that may be gone later: the far side is down, or asks for patience. */
  static retryable(code, message) {
    return new ArgusError(code, message, true);
  }
}

/** The daemon's log. Lines and bytes per call are limited. */
export const log = {
  error: (message) => write("error", String(message)),
  warn: (message) => write("warn", String(message)),
  info: (message) => write("info", String(message)),
  debug: (message) => write("debug", String(message)),
};

const joined = (words) =>
  words.map((word) => (typeof word === "string" ? word : JSON.stringify(word) ?? String(word))).join(" ");

// There is no terminal: what is written to the console goes to the log.
globalThis.console = {
  log: (...words) => log.info(joined(words)),
  info: (...words) => log.info(joined(words)),
  debug: (...words) => log.debug(joined(words)),
  warn: (...words) => log.warn(joined(words)),
  error: (...words) => log.error(joined(words)),
};

/** Milliseconds since the Unix epoch, UTC. */
export const nowMs = () => Number(hostNowMs());

// The module is evaluated when the component is built; the engine's own clock would stand still at that moment.
Date.now = nowMs;

/** A text as UTF-8. QuickJS has no TextEncoder. */
export const encode = (text) => {
  const bytes = [];
  for (const character of String(text).toWellFormed?.() ?? String(text)) {
    const code = character.codePointAt(0);
    if (code < 0x80) {
      bytes.push(code);
    } else if (code < 0x800) {
      bytes.push(0xc0 | (code >> 6), 0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    } else {
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    }
  }
  return new Uint8Array(bytes);
};

/** UTF-8 as a text; what is none becomes U+FFFD. QuickJS has no TextDecoder. */
export const decode = (bytes) => {
  const parts = [];
  let codes = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++];
    const more = first < 0x80 ? 0 : first >= 0xf0 && first < 0xf8 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : -1;
    let code = more < 0 || first >= 0xf8 ? 0xfffd : more === 0 ? first : first & (0x3f >> more);
    for (let left = code === 0xfffd ? 0 : more; left > 0; left--) {
      if ((bytes[at] & 0xc0) !== 0x80) {
        code = 0xfffd;
        break;
      }
      code = (code << 6) | (bytes[at++] & 0x3f);
    }
    const overlong = more > 0 && code < [0, 0x80, 0x800, 0x10000][more];
    codes.push(overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code);
    if (codes.length === 4096) {
      parts.push(String.fromCodePoint(...codes));
      codes = [];
    }
  }
  parts.push(String.fromCodePoint(...codes));
  return parts.join("");
};

/** A time as RFC 3339, e.g. `2026-02-03T04:05:06.789Z`. */
export const rfc3339 = (ms) => new Date(Number(ms)).toISOString();

/** Runs a function of the host; what it throws becomes an ArgusError. */
export const host = (call) => {
  try {
    return call();
  } catch (thrown) {
    const error = thrown?.payload ?? thrown;
    if (typeof error?.code === "string" && typeof error?.message === "string") {
      throw new ArgusError(error.code, error.message, error.retryable === true);
    }
    throw thrown;
  }
};

/** A list of `{ name, value }` as an object, the first of equal names winning. */
export const fromPairs = (pairs) => {
  const object = {};
  for (const { name, value } of pairs) {
    object[name] ??= value;
  }
  return object;
};

/** An object as a list of `{ name, value }`. */
export const toPairs = (object = {}) =>
  Object.entries(object).map(([name, value]) => ({ name, value: String(value) }));

/** Wraps one exported function: settings first, errors as the host wants them, anything else told as a panic. */
export const exported = (call) => (...given) => {
  try {
    return call(JSON.parse(settingsJson()), ...given);
  } catch (error) {
    if (error instanceof ArgusError) {
      throw { code: error.code, message: error.message, retryable: error.retryable };
    }
    panicked(error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ""}`.trim() : String(error));
    throw error;
  }
};
