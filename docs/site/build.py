"""Builds the documentation as a site, in the folder site: ``python docs/site/build.py``.

The site has the pages of docs/, and pages and pictures from other folders of the repository. They are collected in a
temporary folder, where Zensical reads them.
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import jupytext
import zensical

from vae.report.collect import Contents
from vae.report.page import build_page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ELSEWHERE = [
    "CHANGELOG.md",
    "benchmarks/README.md",
    "benchmarks/results/README.md",
    "results/README.md",
    "verification/README.md",
    "verification/ulps.md",
]
PICTURES = ["results/figures/*.png", "results/fashion-mini-jsg-0.3/*.png", "verification/*.png"]


def build(folder):
    """Replaces ``folder`` by the site; raises RuntimeError if a link, an anchor or a documented object is missing."""
    with tempfile.TemporaryDirectory(prefix="jsgmath-site-") as work:
        collect(Path(work, "pages"))
        configuration = shutil.copy(HERE / "zensical.toml", work)
        sys.path[:0] = [str(HERE)]  # where Zensical finds formulas.py and docstrings.py
        try:
            zensical.build(configuration, {"clean": False, "strict": True})
        finally:
            sys.path.remove(str(HERE))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(Path(work, "site"), folder)


def collect(pages):
    """Copies everything that the site shows; files outside docs/ keep their path in the repository."""
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("site"))
    for page in pages.rglob("*.md"):
        up = "../" * (len(page.relative_to(pages).parts) - 1)
        replace(page, rf"(\]\({up})\.\./", r"\1")
    for name in [*ELSEWHERE, *(path.relative_to(ROOT) for pattern in PICTURES for path in ROOT.glob(pattern))]:
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, pages / name)
    for name in ELSEWHERE:
        replace(pages / name, r"(\]\((?:\.\./)*)docs/", r"\1")
    for name in ("style.css", "iframe-worker.js"):
        shutil.copy(HERE / name, pages)
    for path in (pages / "notebooks").glob("*.py"):
        jupytext.write(jupytext.read(path), path.with_suffix(".ipynb"))
        path.unlink()
        replace(path.with_suffix(".md"), rf"\({path.name}\)", f"({path.stem}.ipynb)")
    (pages / "two-gaussians.html").write_text(build_page(Contents((), [], [])), encoding="utf-8")
    for name in ("jsgmath", "torch"):
        replace(pages / "reference" / f"{name}.md", "^<!-- speeds of (.*) -->$", speeds)


def speeds(wanted):
    """A table of the committed speeds of all cases whose description contains a word."""
    records = json.loads((ROOT / "benchmarks" / "results" / "cpu.json").read_text(encoding="utf-8"))["records"]
    rows = {}
    for record in records:
        if wanted[1] in record["what"]:
            name = record["implementation"].removesuffix(", eq. 9")
            rows.setdefault(record["what"], {})[name] = record["median"]
    others = list(dict.fromkeys(name for row in rows.values() for name in row if name != "jsgmath"))
    lines = [["", "jsgmath, ms", *others], ["---"] * (len(others) + 2)]
    for what, row in rows.items():
        times = [f"{row[name] / row['jsgmath']:.2g} times" if name in row else "" for name in others]
        lines.append([what, f"{1000 * row['jsgmath']:.3g}", *times])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replace(page, pattern, by):
    """Changes a page of the site, such as its links between docs/ and the rest of the repository."""
    page.write_text(re.sub(pattern, by, page.read_text(encoding="utf-8"), flags=re.M), encoding="utf-8")


if __name__ == "__main__":
    try:
        build(ROOT / "site")
    except RuntimeError as error:  # Zensical has printed where the mistake is
        print(f"docs/site/build.py: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(2)
