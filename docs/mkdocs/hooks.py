"""Adds to the site the pages from outside docs/, and formulas that a browser shows without a script."""

import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
ELSEWHERE = [
    "CHANGELOG.md",
    "benchmarks/README.md",
    "benchmarks/results/README.md",
    "results/README.md",
    "verification/README.md",
    "verification/ulps.md",
]
PICTURES = ["results/figures/*.png", "results/fashion-mini-jsg-0.3/*.png", "verification/*.png"]


def on_files(files, config):
    """Adds files from outside docs/ under their path in the repository; pages of docs/ lie at the root of the site."""
    pictures = [path.relative_to(ROOT).as_posix() for pattern in PICTURES for path in sorted(ROOT.glob(pattern))]
    for name in ELSEWHERE + pictures:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for name in ("style.css", "iframe-worker.js"):
        files.append(File.generated(config, name, abs_src_path=str(Path(__file__).with_name(name))))
    return files


def on_page_markdown(markdown, page, config, files):
    """Changes the links between docs/ and the rest of the repository to links of the site."""
    name = page.file.src_uri
    if name in ELSEWHERE:
        return re.sub(r"(\]\((?:\.\./)*)docs/", r"\1", markdown)
    return re.sub(rf"(\]\({'../' * name.count('/')})\.\./", r"\1", markdown)


def on_page_content(content, page, config, files):
    return re.sub(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', _mathml, content, flags=re.S)


def _mathml(formula):
    block = formula[1] == "div"
    result = convert(html.unescape(formula[2]), display="block" if block else "inline")
    return f'<div class="formula">{result}</div>' if block else result
