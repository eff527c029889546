// The forecasting model. A subject's window stays in the host; a plugin describes variants of it by edits, and all
// variants of one call run as one batch.

import { evaluationsLeft, open } from "argus:plugin/model@0.1.0";

import { host, toPairs } from "./core.js";

/** Instead of a metric's index: all metrics. All bits set, which QuickJS hands over only if written so. */
export const EVERY_METRIC = -1;

/** How often this call may still evaluate the model. */
export { evaluationsLeft };

/** One change to one variant: `edit(variant, metric, "mask" | "typical" | "set" | …, [from, to], amount)`. */
export const edit = (variant, metric, change, [fromStep, toStep], amount = 0, valuesAt = 0) => ({
  variant,
  metric,
  change,
  fromStep,
  toStep,
  amount,
  valuesAt,
});

/** Numbers to ask for. */
export const output = {
  risk: () => ({ what: "risk", metric: 0, step: 0, level: 0 }),
  riskUnclamped: () => ({ what: "risk-unclamped", metric: 0, step: 0, level: 0 }),
  quantile: (metric, step, level) => ({ what: "quantile", metric, step, level }),
  breachProbability: (metric, step) => ({ what: "breach-probability", metric, step, level: 0 }),
};

/** The newest window of an entity. */
export class Window {
  constructor(entity, options = {}) {
    this.handle = host(() => open(entity, toPairs(options)));
    const shape = this.handle.shape();
    this.shape = { ...shape, originMs: Number(shape.originMs), metrics: shape.metrics.split("\n") };
  }

  /** A metric's values over the context, NaN where missing. */
  values(metric) {
    return host(() => this.handle.values(metric));
  }

  /** The metric's typical values for the subject's profile. */
  typical(metric) {
    return host(() => this.handle.typical(metric));
  }

  /** Runs the model on variants 0 to `variants` − 1 and returns `variants × outputs` numbers. */
  predict(variants, edits, outputs, values = []) {
    return host(() => this.handle.predict(variants, edits, values, outputs));
  }

  /** The network's attention: a row per step ahead over context steps and steps ahead. */
  attention() {
    return host(() => this.handle.attention());
  }

  /** Weights of a variable selection: `static-variables`, `context-variables` or `horizon-variables`. */
  variableWeights(of) {
    return host(() => this.handle.variableWeights(of));
  }

  /** Names of a selection's columns. */
  variableNames(of) {
    return this.handle.variableNames(of).split("\n");
  }
}
