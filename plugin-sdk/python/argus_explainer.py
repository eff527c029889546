"""Plugins of the kind `explainer`: they say why a forecast is what it is, by consulting the model."""

import json
from typing import Any, Optional

import argus
from wit_world.exports import explanations
from wit_world.exports.explanations import Subject
from wit_world.imports import model

__all__ = ["Explainer", "Subject", "Window", "driver", "edit", "risk"]

EVERY_METRIC = 0xFFFFFFFF


def driver(name: str, impact: float, text: str = "", standard_error: float = 0.0) -> explanations.Driver:
    """One cause and what it does to the target, in the target's unit."""
    return explanations.Driver(name, impact, standard_error, text)


def edit(variant: int, metric: int, change: str, steps: tuple[int, int], amount: float = 0.0) -> model.Edit:
    """One change to one variant: `mask`, `typical`, `set`, `add`, `scale`, `at_most`, `at_least`."""
    return model.Edit(variant, metric, model.Change[change.upper()], steps[0], steps[1], amount, 0)


def risk() -> model.Output:
    """Asks for the risk, 0 to 100."""
    return model.Output("risk", 0, 0, 0.0)


class Window:
    """The newest window of an entity; it stays in the host."""

    def __init__(self, entity: str, options: Optional[dict[str, Any]] = None) -> None:
        self.handle = argus.call_host(model.open, entity, argus.to_pairs(options))
        self.shape = self.handle.shape()
        self.metrics = self.shape.metrics.split("\n")

    def values(self, metric: int) -> list[float]:
        """A metric's values over the context, NaN where missing."""
        return argus.call_host(self.handle.values, metric)

    def predict(self, variants: int, edits: list, outputs: list) -> list[float]:
        """Runs the model on variants 0 to `variants` - 1 and returns `variants * outputs` numbers."""
        return argus.call_host(self.handle.predict, variants, edits, [], outputs)


class Explainer:
    """Derive a class named `Explanations` from this."""

    def check_config(self, config: dict[str, Any]) -> None:
        """Raises an `argus.ArgusError` if the settings cannot work."""

    def explain_subject(self, config: dict[str, Any], subject: Subject) -> tuple[str, list, dict]:
        """Returns a summary in one line, the drivers that matter most first, and details."""
        raise NotImplementedError

    def check(self) -> None:
        argus.exported(self.check_config)

    def explain(self, subject: Subject) -> explanations.Explanation:
        summary, drivers, details = argus.exported(self.explain_subject, subject)
        return explanations.Explanation(summary, drivers, json.dumps(details))
