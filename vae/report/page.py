"""The page: its three sources, the formula as JavaScript and what is shown of the runs, put into one file.

It asks nobody for anything: its policy forbids every connection, and any script and style but the two in it.
"""

import base64
import hashlib
import json
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from jsgmath import __version__, formula, special
from vae.report.collect import Collection, ShownGroup
from vae.report.javascript import translate
from vae.report.sections import remarks, section, swatch
from vae.runs.comparisons import name
from vae.runs.statistics import SeedMean
from vae.style import COLOURS

SOURCES = Path(__file__).parent
FUNCTIONS = (
    formula.mean_weights,
    formula.shares,
    formula.to_mean,
    formula.from_mean,
    formula.skew,
    special.tail,
    special.log_k,
    special.g,
    special.gs,
)
FLOAT = np.finfo(float)  # JavaScript's only numbers
CONSTANTS = {"TERMS": special.series_terms(FLOAT.nmant + 1), "FLOOR": float(FLOAT.tiny**0.75)}


def build_page(found: Collection) -> str:
    """The whole page."""
    colours = "\n".join(f"  --{divergence}: {colour};" for divergence, colour in COLOURS.items())
    style = f":root {{\n{colours}\n}}\n{source('page.css')}"
    script = f"{library()}\n{source('page.js')}"
    data = [[facts(group) for group in comparison.groups] for comparison in found.comparisons]
    policy = f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; img-src data:"
    return Template(source("page.html")).substitute(
        policy=f"{policy}; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
        runs="\n".join(section(number, one) for number, one in enumerate(found.comparisons)) + remarks(found),
        version=__version__,
        **{divergence.replace("-", "_"): swatch(divergence) for divergence in COLOURS},
    )


def library() -> str:
    """The formula as JavaScript, in the scope of one function."""
    constants = "\n".join(f"const {constant} = {value!r};" for constant, value in CONSTANTS.items())
    names = ", ".join(function.__name__ for function in FUNCTIONS)
    functions = f"(() => {{\n{translate(*FUNCTIONS)}\n\nreturn {{ {names} }};\n}})()"
    return f'"use strict";\n{constants}\n\nconst formula = {functions};\n'


def source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """How a policy names the one script or style that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def facts(group: ShownGroup) -> dict[str, Any]:
    """What the script draws."""
    return {
        "objective": name(group.settings).replace("||", "‖"),
        "divergence": group.settings.divergence,
        "alpha": group.alpha,
        "learnt": group.learnt and group.learnt.value,
        "reconstruction": interval(group.over_seeds("test_reconstruction")),
        "evidence": evidence(group),
        "histories": {str(one.run.settings.seed): one.history for one in group.shown},
    }


def evidence(group: ShownGroup) -> list[float] | None:
    """Log evidence and its ends: over seeds, or of the one seed by the bootstrap."""
    if len(group.estimates) == 1:
        return [group.estimates[0][key] for key in ("log_evidence", "low", "high")]
    return interval(group.log_evidence) if group.log_evidence else None


def interval(mean: SeedMean) -> list[float]:
    """A value and its ends, which one seed does not set apart."""
    return [mean.value, *(mean.interval or (mean.value, mean.value))]
