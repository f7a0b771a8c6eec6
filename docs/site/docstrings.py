"""Converts docstrings, which a terminal shows unchanged, to Markdown: formulas, cross-references and examples."""

import json
import re
from functools import cache
from pathlib import Path

import griffe

DOCS = Path(__file__).parents[1]
RECORDS = DOCS.parent / "benchmarks" / "results" / "cpu.json"
# The committed measurements that a page shows, by the beginnings of their descriptions.
MEASURED = {
    "jsgmath.jsg": ("JSG of two diagonal, NumPy, var, 1000 x 20", "JSG of dense pairs, NumPy, 100 x 10"),
    "jsgmath.jsg_many": ("JSG of three diagonal Gaussians and their product, NumPy, 1000 x 20",),
    "jsgmath.pairwise.pairwise": ("all pairs of full covariances",),
    "jsgmath.torch.jsg_standard_normal": ("JSG to N(0, I) with gradients",),
    "jsgmath.torch.jsg_diagonal": ("JSG of two diagonal with gradients",),
}
MEASURED |= {
    f"jsgmath.families.{name}": tuple(f"{what} of {name}{end}" for what in ("KL", "JSG") for end in (",", " with"))
    for name in ("Bernoulli", "Beta", "Categorical", "Dirichlet", "Exponential", "Gamma", "Geometric", "Poisson")
}
NOT_COMPUTED = ("Family", "Gaussian", "Gradient", "register")  # they compute no divergence, so they have no speed


class Docstrings(griffe.Extension):
    def on_object(self, *, obj, **_):
        if not obj.is_alias and obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value, obj.canonical_path)
            if "**Speed:**" not in obj.docstring.value and (name := named(obj)):
                obj.docstring.value += f"\n\n**Speed:** {speed(name)}"


def named(obj):
    """The name of a function or class that the reference lists and that computes divergences, or an empty string."""
    if not (obj.is_function or obj.is_class) or obj.name in NOT_COMPUTED:
        return ""
    parts = obj.canonical_path.split(".")
    modules = (name.split(".")[:-1] for name in documented() if name.rpartition(".")[2] == obj.name)
    nearest = max((x for x in modules if parts[: len(x)] == x), key=len, default=None)
    return ".".join([*nearest, obj.name]) if nearest else ""


def speed(name):
    """The committed times of an object, each with its ratio to the time of the textbook's formula or of torch."""
    found = {}
    for record in json.loads(RECORDS.read_text(encoding="utf-8"))["records"]:
        if record["what"].startswith(MEASURED.get(name, ())):
            found.setdefault(record["what"], {})[record["implementation"].partition(",")[0]] = record["median"]
    lines = []
    for what, times in found.items():
        other = next(x for x in ("textbook", "torch.distributions") if x in times)
        ratio = times["jsgmath"] / times[other]
        of = "the textbook's formula" if other == "textbook" else other
        lines.append(f"- {what}: {1000 * times['jsgmath']:.3g} ms, {ratio:.2g} times {of}")
    listed = "\n".join(lines)
    return f"one thread of a CPU, median:\n\n{listed}" if lines else "not measured."


def markdown(text, path):
    """Converts the docstring ``text`` of the object at ``path``."""
    text = re.sub(r"^\.\. math::\s*(\S.*(?:\n +\S.*)*)", _block, text, flags=re.M)
    text = re.sub(r":math:`([^`]*)`", lambda inline: f"${_upright(inline[1])}$", text)
    text = re.sub(r"(?<![`\w])`([\w.]+)`(?!`)", lambda name: _link(name[1], path), text)
    text = text.replace("JSG*", r"JSG\*")
    text = re.sub(r"^(Accuracy|Speed):\s*", r"**\1:** ", text, flags=re.M)
    text = re.sub(r"^References:\s*(\[.*(?:\n +\[.*)*)", _references, text, flags=re.M)
    return re.sub(r"^>>> .*\n?(?:.+\n?)*", lambda run: f"```pycon\n{run[0].rstrip()}\n```\n", text, flags=re.M)


def _block(directive):
    formula, source = re.fullmatch(r"(.*?)(?: +(\[[^]]*\]))?", " ".join(directive[1].splitlines())).groups()
    return f"$${_upright(formula)}" + (rf" \qquad \text{{{source}}}$$" if source else "$$")


def _references(listed):
    lines = "\n".join(f"- {line.strip()}" for line in listed[1].splitlines())
    return f"**References:**\n\n{lines}"


def _upright(formula):
    """Sets names of more than one letter, such as KL, upright."""
    return re.sub(r"(?<![\\A-Za-z])[A-Za-z]{2,}", r"\\mathrm{\g<0>}", formula)


def _link(name, path):
    """Links to the nearest documented object of that name, seen from ``path``; other names stay unchanged."""
    found = [entry for entry in documented() if entry == name or entry.endswith(f".{name}")]
    near = [entry for entry in found if path.startswith(entry.removesuffix(name))]
    return f"[`{name}`][{max(near, key=len)}]" if near else f"`{name}`"


@cache
def documented():
    """The objects that the pages of the reference list."""
    pages = sorted((DOCS / "reference").glob("*.md"))
    return [name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.M)]
