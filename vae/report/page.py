"""The page: its three sources, the formula as JavaScript and the sections about runs, in one file.

The page opens no connection: its policy forbids all of them, and every script and style except its own two.
"""

import base64
import hashlib
from pathlib import Path
from string import Template

import numpy as np

from jsgmath import __version__, formula, special
from jsgmath.native.translate import javascript
from vae.report.collect import Contents
from vae.report.sections import numbers_html, section_html, swatch
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


def build_page(contents: Contents) -> str:
    """The whole page."""
    colours = "\n".join(f"  --{divergence}: {colour};" for divergence, colour in COLOURS.items())
    style = f":root {{\n{colours}\n}}\n{source('page.css')}"
    script = f"{library()}\n{source('page.js')}"
    policy = f"default-src 'none'; script-src {policy_hash(script)}; style-src {policy_hash(style)}; img-src data:"
    return Template(source("page.html")).substitute(
        policy=f"{policy}; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        runs="\n".join(section_html(number, one) for number, one in enumerate(contents.sections))
        + numbers_html(contents),
        version=__version__,
        **{divergence.replace("-", "_"): swatch(divergence) for divergence in COLOURS},
    )


def library() -> str:
    """The formula as JavaScript, inside one function."""
    constants = "\n".join(f"const {constant} = {value!r};" for constant, value in CONSTANTS.items())
    names = ", ".join(function.__name__ for function in FUNCTIONS)
    functions = f"(() => {{\n{javascript(*FUNCTIONS)}\n\nreturn {{ {names} }};\n}})()"
    return f'"use strict";\n{constants}\n\nconst formula = {functions};\n'


def source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def policy_hash(text: str) -> str:
    """The hash by which the policy allows a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
