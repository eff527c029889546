// HTTP to targets that the operator named. Write `{{secret:NAME}}` where a secret belongs: the host fills it in.

import { send } from "argus:plugin/http@0.1.0";

import { ArgusError, decode, encode, fromPairs, host, toPairs } from "./core.js";

/** A complete answer. */
export class Answer {
  constructor({ status, headers, body }) {
    this.status = status;
    this.headers = fromPairs(headers);
    this.body = body;
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  text() {
    return decode(this.body);
  }

  json() {
    try {
      return JSON.parse(this.text());
    } catch {
      throw new ArgusError("bad_json", `the target answered ${this.status} with a body that is no JSON`);
    }
  }

  /** The answer if its status is 2xx, else an error; 408, 425, 429 and 5xx ask the host to try again later. */
  requireSuccess() {
    if (this.ok) {
      return this;
    }
    const beginning = this.text().trim().slice(0, 300);
    const retryable = [408, 425, 429].includes(this.status) || (this.status >= 500 && this.status < 600);
    const message = `the target answered ${this.status}${beginning && ": "}${beginning}`;
    throw new ArgusError(`http_${this.status}`, message, retryable);
  }
}

const request = (method, target, path, { headers = {}, json, body = "", timeoutMs } = {}) => {
  const all = json === undefined ? headers : { "content-type": "application/json", ...headers };
  const content = json === undefined ? body : JSON.stringify(json);
  const bytes = typeof content === "string" ? encode(content) : content;
  return new Answer(
    host(() => send({ target, method, path, headers: toPairs(all), body: bytes, timeoutMs })),
  );
};

/** Requests to a target; options are `headers`, `json` or `body`, and `timeoutMs`. Any status is an answer. */
export const http = {
  request,
  get: (target, path, options) => request("GET", target, path, options),
  post: (target, path, options) => request("POST", target, path, options),
  put: (target, path, options) => request("PUT", target, path, options),
  delete: (target, path, options) => request("DELETE", target, path, options),
};
