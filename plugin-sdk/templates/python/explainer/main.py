"""Says what the risk would be if one metric after the other had been as usual."""

import math

import argus
from argus_explainer import Explainer, Subject, Window, driver, edit, risk


class Explanations(Explainer):
    def explain_subject(self, config: dict, subject: Subject) -> tuple[str, list, dict]:
        if subject.target != "risk":
            raise argus.ArgusError("unknown_target", f"my-plugin explains the risk, not {subject.target}")
        window = Window(subject.entity)
        names, steps = window.metrics, window.shape.context_steps
        # Variant 0 is the window as it is; in each of the others one metric is replaced by its typical values.
        edits = [edit(metric + 1, metric, "typical", (0, steps)) for metric in range(len(names))]
        now, *without = window.predict(len(names) + 1, edits, [risk()])
        impacts = [(name, now - other) for name, other in zip(names, without) if math.isfinite(other)]
        impacts.sort(key=lambda pair: -abs(pair[1]))
        drivers = [
            driver(name, impact, f"{name} adds {impact:.1f} to the risk") for name, impact in impacts[: config.get("most", 5)]
        ]
        top = drivers[0].name if drivers else "nothing in particular"
        details = {"risk": now, "evaluations": len(names) + 1}
        return f"risk {now:.1f}, most of all because of {top}", drivers, details
