"""The documentation as a site: built without warnings, complete, and whole without a network."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlparse

import pytest
from PIL import Image

import jsgmath
import jsgmath.certified
import jsgmath.families
import jsgmath.torch

ROOT = Path(__file__).parents[2]
MACHINERY = ROOT / "docs" / "mkdocs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", MACHINERY / "mkdocs.yml", "--site-dir", folder],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    return folder


class Assets(HTMLParser):
    """What a browser loads with a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "link" and given["rel"] not in ("canonical", "prev", "next"):
            self.found.append(given["href"])
        elif tag in ("script", "img", "iframe", "source", "video") and "src" in given:
            self.found.append(given["src"])


def test_a_page_needs_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        assets = Assets(page).found
        assert any(asset.endswith(".css") for asset in assets)
        for asset in assets:
            url = urlparse(asset)
            assert url.scheme == url.netloc == "", f"{page.name} loads {asset}"
            at = site / url.path.lstrip("/") if page.name == "404.html" else page.parent / unquote(url.path)
            assert at.is_file(), f"{page.name} loads {asset}, which is not there"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text()), style.name


def test_formulas_are_shown_by_the_browser_itself(site):
    assert "<math" in (site / "index.html").read_text()
    assert "<math" in (site / "reference" / "jsgmath.html").read_text()
    for page in site.rglob("*.html"):
        text = page.read_text()
        for left_over in ("arithmatex", ":math:", ".. math::", "$$", "<merror"):
            assert left_over not in text, f"{page.name} has {left_over}"


def test_the_reference_has_every_public_name(site):
    for page, module, names in (
        ("jsgmath", jsgmath, jsgmath.__all__),
        ("families", jsgmath.families, jsgmath.families.__all__),
        ("torch", jsgmath.torch, jsgmath.torch.__all__),
        ("certified", jsgmath.certified, ("jsg", "jsg_dual", "kl", "js")),
    ):
        text = (site / "reference" / f"{page}.html").read_text()
        for name in names:
            if not isinstance(getattr(module, name), ModuleType):  # which has a page of its own
                assert f'id="{module.__name__}.{name}"' in text


def test_a_docstring_is_markdown_with_its_examples_and_links(site):
    text = (site / "reference" / "jsgmath.html").read_text()
    assert "<blockquote>" not in text  # what Markdown takes >>> for
    assert re.search(r'errors and accuracy are those of <a [^>]*href="#jsgmath.jsg">', text)
    assert re.search(r"<strong>References:</strong></p>\s*<ul>\s*<li>\[1\] Deasy", text)


def test_the_picture_of_the_idea_is_drawn_by_the_library(tmp_path):
    command = [sys.executable, MACHINERY / "pictures.py", tmp_path / "idea.png"]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    with Image.open(tmp_path / "idea.png") as drawn, Image.open(ROOT / "docs" / "idea.png") as shown:
        assert drawn.size == shown.size
