"""The imports of a package, read from its source."""

import ast
from pathlib import Path


def imports_of(package):
    """The modules of ``package`` that each of its modules imports, inside functions too: module -> set of modules."""
    root = Path(package.__file__).parent
    paths = {module_name(path, root.parent): path for path in root.rglob("*.py")}
    return {module: imported(path, paths) for module, path in paths.items()}


def module_name(path, above):
    parts = path.relative_to(above).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path, known):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & set(known) or {node.module}
    return found & set(known)


def room(module):
    """The file or folder of the package in which a module lies."""
    return module.split(".")[1] if "." in module else module
