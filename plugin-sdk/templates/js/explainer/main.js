// Says what the risk would be if one metric after the other had been as usual.

import { ArgusError } from "./argus/core.js";
import { explainer } from "./argus/explainer.js";
import { Window, edit, output } from "./argus/model.js";

export const explanations = explainer({
  explain(config, subject) {
    if (subject.target !== "risk") {
      throw new ArgusError("unknown_target", `my-plugin explains the risk, not ${subject.target}`);
    }
    const window = new Window(subject.entity);
    const { metrics, contextSteps } = window.shape;
    // Variant 0 is the window as it is; in each of the others one metric is replaced by its typical values.
    const edits = metrics.map((_, metric) => edit(metric + 1, metric, "typical", [0, contextSteps]));
    const [risk, ...without] = window.predict(metrics.length + 1, edits, [output.risk()]);
    const drivers = metrics
      .map((name, metric) => ({ name, impact: risk - without[metric] }))
      .filter(({ impact }) => Number.isFinite(impact))
      .sort((a, b) => Math.abs(b.impact) - Math.abs(a.impact))
      .slice(0, config.most ?? 5)
      .map(({ name, impact }) => ({ name, impact, text: `${name} adds ${impact.toFixed(1)} to the risk` }));
    const top = drivers[0]?.name ?? "nothing in particular";
    return {
      summary: `risk ${risk.toFixed(1)}, most of all because of ${top}`,
      drivers,
      details: { risk, evaluations: metrics.length + 1 },
    };
  },
});
