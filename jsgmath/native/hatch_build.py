"""Builds the core when the package is installed, if there is a C++ compiler; pyproject.toml names this file."""

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))
import build

sys.path.pop(0)


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles next to the sources, and adds the library to a wheel, which then is one for this platform.

        Without a compiler, or where it fails, the package works all the same: NumPy takes the place of the core.
        """
        if self.target_name != "wheel":
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
