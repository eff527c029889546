// Plugins of the kind `explainer`: they say why a forecast is what it is, by consulting the model.

import { exported, fromPairs } from "./core.js";

/**
 * Makes the export of an explainer:
 * `export const explanations = explainer({ check(config) {…}, explain(config, subject) {…} });`
 *
 * `explain` returns `{ summary, drivers: [{ name, impact, standardError, text }], details }`, the drivers that matter
 * most first, the details any object.
 */
export const explainer = ({ check = () => {}, explain }) => ({
  check: exported((config) => {
    check(config);
  }),
  explain: exported((config, subject) => {
    const { summary, drivers, details = {} } = explain(config, { ...subject, options: fromPairs(subject.options) });
    const complete = ({ name, impact, standardError = 0, text = "" }) => ({ name, impact, standardError, text });
    return { summary, drivers: drivers.map(complete), details: JSON.stringify(details) };
  }),
});
