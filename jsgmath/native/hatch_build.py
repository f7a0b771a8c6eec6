"""Builds the core when the package is installed, if there is a C++ compiler; pyproject.toml names this file."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))
import build
import linked
import wheels

sys.path.pop(0)


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the library to a wheel, which is then for a single platform.

        That is the platform that the environment names (`wheels.py`), otherwise this one, for which the library is
        compiled next to the sources. Without a compiler, or if it fails, the package works as well: NumPy replaces the
        core.
        """
        if self.target_name != "wheel":
            return
        if name := os.environ.get(wheels.CHOICE):
            self._compile_for(name, build_data)
            return
        try:
            library = build.build()
        except FileNotFoundError as error:
            self.app.display_warning(f"jsgmath without its compiled core: {error}")
            return
        except subprocess.CalledProcessError as error:
            self.app.display_warning(f"jsgmath without its compiled core, since the compiler failed:\n{error.stderr}")
            return
        build_data["artifacts"].append(f"/jsgmath/native/{library.name}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def _compile_for(self, name: str, build_data: dict[str, Any]) -> None:
        if name not in wheels.PLATFORMS:
            self.app.abort(f"{wheels.CHOICE} must be one of {', '.join(wheels.PLATFORMS)}, got {name}")
        platform = wheels.PLATFORMS[name]
        self.folder = tempfile.TemporaryDirectory()  # it must live until the wheel is written
        library = Path(self.folder.name) / platform.library
        try:
            build.build(library, platform.command, platform.machine)
        except subprocess.CalledProcessError as error:
            self.app.abort(f"the compiler failed:\n{error.stderr}")
        build_data["force_include"][str(library)] = f"jsgmath/native/{library.name}"
        notices, bill = (Path(self.folder.name) / file for file in (linked.NOTICES, linked.BILL))
        notices.write_text(linked.notices(platform.target), encoding="utf-8")
        bill.write_text(linked.bill(platform.target), encoding="utf-8")
        build_data["force_include"][str(notices)] = f"jsgmath/native/{notices.name}"
        build_data["sbom_files"].append(str(bill))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{name}"
