"""The log evidence of a run, read from its evaluation.json."""

import json
import math
from typing import Any

from vae.runs.run import DAMAGE, Run


class Unusable(Exception):
    """Says why a run's evaluation.json cannot be used."""


def read_evidence(run: Run) -> dict[str, Any]:
    """The log evidence of a run and its interval, and how they were estimated.

    Raises:
        Unusable: there is no evaluation, or it is damaged.
    """
    path = run.path / "evaluation.json"
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
        found, epoch = evaluation["evidence"], int(evaluation["epoch"])
        low, high = map(float, found["interval"])
        way = {name: found[name] for name in ("likelihood", "samples", "batches", "batch_size", "effective_samples")}
        value = float(found["log_evidence"])
    except FileNotFoundError:
        raise Unusable("not evaluated") from None
    except DAMAGE as error:
        raise Unusable(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    if epoch != run.epochs:
        raise Unusable(f"evaluated after epoch {epoch} of {run.epochs}")
    if not all(map(math.isfinite, (low, value, high))):
        raise Unusable(f"{path} holds a number that is not finite")
    return {"log_evidence": value, "low": low, "high": high} | way
