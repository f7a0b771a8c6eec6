"""The parts that the compiler of the wheels (`ziglang`) links into the library: names, versions and licences.

The parts of LLVM may be distributed without the text of their licence (Apache 2.0 with LLVM exceptions), and so may the
parts of Linux's C libraries in every program. The licences of Zig and of mingw-w64 require theirs, so each wheel has
it.
"""

import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path
from typing import NamedTuple

NOTICES, BILL = "NOTICES.txt", "core.cdx.json"


class Part(NamedTuple):
    """A part of the library; ``notice`` is the text that its licence requires."""

    name: str
    version: str
    licence: str
    notice: str = ""

    @property
    def component(self) -> dict[str, object]:
        """The part's entry in a CycloneDX bill of materials."""
        licences = [{"expression": self.licence}]
        return {"type": "library", "name": self.name, "version": self.version, "licenses": licences}


def parts(target: str) -> list[Part]:
    """The parts for a target of the compiler."""
    spec = importlib.util.find_spec("ziglang")
    assert spec
    assert spec.origin
    zig = Path(spec.origin).parent
    version = _found(zig / "lib/libcxx/include/__config", r"_LIBCPP_VERSION (\d\d)(\d\d)(\d\d)")
    names = ["libc++", "libc++abi", *([] if "macos" in target else ["libunwind"])]
    found = [Part(name, version, "Apache-2.0 WITH LLVM-exception") for name in names]
    notice = (zig / "LICENSE").read_text(encoding="utf-8")
    found.append(Part("Zig compiler_rt", importlib.metadata.version("ziglang"), "MIT", notice))
    if "windows" in target:
        numbers = (rf"__MINGW64_VERSION_{part} (\d+)\s[^$]*?" for part in ("MAJOR", "MINOR", "BUGFIX"))
        version = _found(zig / "lib/libc/include/any-windows-any/_mingw_mac.h", "".join(numbers))
        threads = (
            (zig / "lib/libc/mingw/winpthreads/thread.c")
            .read_text(encoding="utf-8")
            .partition("*/")[0]
            .partition("/*")[2]
        )
        notice = f"{(zig / 'lib/libc/mingw/COPYING').read_text(encoding='utf-8')}\nIts threads:\n{threads.rstrip()}\n"
        found.append(Part("mingw-w64", version, "ZPL-2.1 AND MIT", notice))
    return found


def _found(path: Path, pattern: str) -> str:
    """The version that a header states."""
    match = re.search(pattern, path.read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{path} has no {pattern}; this version of ziglang names its parts in another way")
    return ".".join(str(int(number)) for number in match.groups())


def notices(target: str) -> str:
    """A text for users: all parts, and the licences that must be included."""
    found = parts(target)
    listed = "".join(f"  {part.name} {part.version}: {part.licence}\n" for part in found)
    texts = "".join(f"\n{'-' * 72}\n{part.name}\n\n{part.notice}" for part in found if part.notice)
    return f"The compiled core contains parts of other projects:\n\n{listed}{texts}"


def bill(target: str) -> str:
    """A bill of materials in CycloneDX."""
    found = [part.component for part in parts(target)]
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": found}, indent=2)
