"""Makes Triton's interpreter quicker: it prepares triton.language once a kernel, not at every call of a function."""

from types import SimpleNamespace

import triton.language as tl
from triton.runtime import interpreter

prepare = interpreter._patch_lang
NOTHING = SimpleNamespace(restore=lambda: None)


def prepare_once(function):
    """Replaces what the function uses of triton.language, unless that is done; ``restore`` of the result undoes it."""
    modules = [value for value in function.__globals__.values() if value is tl or value is tl.core]
    return prepare(function) if any(tl.core.is_builtin(module.load) for module in modules) else NOTHING


interpreter._patch_lang = prepare_once
