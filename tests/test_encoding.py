"""Text files are UTF-8 in every locale: the programs write them so, and must not read them as the locale says."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = "jsgmath", "verification", "vae", "benchmarks", "docs/site"


def calls_without_encoding(text):
    """The lines of calls that read or write text as the locale says."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and not any(word.arg == "encoding" for word in node.keywords):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            modes = [x.value for x in node.args if isinstance(x, ast.Constant)]
            of_text = any(re.fullmatch("[rwaxt+]+", str(mode)) for mode in modes)
            alone = isinstance(node.func, ast.Name) and len(node.args) == 1  # open(path)
            if name in ("read_text", "write_text") or (name == "open" and (of_text or alone)):
                yield node.lineno


def test_the_programs_read_and_write_text_as_utf_8():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.name.startswith("test_")
        for line in calls_without_encoding(path.read_text(encoding="utf-8"))
    ]
    assert found == []
