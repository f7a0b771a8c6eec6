"""Converts docstrings, which a terminal shows unchanged, to Markdown: formulas, cross-references and examples."""

import re
from functools import cache
from pathlib import Path

import griffe

DOCS = Path(__file__).parents[1]


class Docstrings(griffe.Extension):
    def on_object(self, *, obj, **_):
        if not obj.is_alias and obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value, obj.canonical_path)


def markdown(text, path):
    """Converts the docstring ``text`` of the object at ``path``."""
    text = re.sub(r"^\.\. math::\s*(\S.*(?:\n +\S.*)*)", _block, text, flags=re.M)
    text = re.sub(r":math:`([^`]*)`", lambda inline: f"${_upright(inline[1])}$", text)
    text = re.sub(r"(?<![`\w])`([\w.]+)`(?!`)", lambda name: _link(name[1], path), text)
    text = text.replace("JSG*", r"JSG\*")
    text = re.sub(r"^Accuracy:\s*", "**Accuracy:** ", text, flags=re.M)
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
    return [name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)]
