"""The programs that make the site, which are not a package."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]
MACHINERY = ROOT / "docs" / "site"


def load(name):
    """Loads a module of docs/site."""
    specification = importlib.util.spec_from_file_location(name, MACHINERY / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
