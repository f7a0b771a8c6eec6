"""``python -m tests.release`` makes the files of a release in dist/, checks them, and says what is left to do.

It needs the extras ``release`` and ``verify``. Checks in an emulator need Debian with qemu-user, wine, and apt-get,
which fetches Python for AArch64 and the C library musl; checks that cannot run are named at the end.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

import jsgmath
from jsgmath.native import linked
from jsgmath.native.wheels import PLATFORMS, ROOT, distributions
from tests.native import calls, full_points, points

DIST = ROOT / "dist"
EXPORTS = {
    f"jsgmath_{name}"
    for name in ("copy", "diagonal", "factor", "families", "full", "instruction_set", "sources", "tensors")
}
# The libraries that a wheel may expect: those of the C language and the system.
ALLOWED = {
    "manylinux": {"libc.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"},
    "musllinux": {"libc.so"},
    "macosx": {"/usr/lib/libSystem.B.dylib"},
    "win": {"KERNEL32.dll", "ntdll.dll"},
}
UCRT = "api-ms-win-crt-"  # the C libraries of Windows begin with these letters
SBOM_OPTIONS = ["--output-reproducible", "--of", "JSON", "--mc-type", "library"]
LEFT = """\
Left for a person:
  - give pyproject.toml an address of the authors and the URL of the project
  - read CHANGELOG.md and the files in dist/; run `python -m benchmarks.gpu` on a machine with a GPU
  - try the wheels of macOS and Windows on such machines: `python -m jsgmath` names the core
  - git tag -a v{version}, and upload: twine upload dist/*.whl dist/*.tar.gz"""


class Failure(Exception):
    """An error: something is wrong with a file of the release."""


def run(*command, data=None, cwd=None, **environment):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "JSGMATH_NATIVE")}
    result = subprocess.run([*map(str, command)], input=data, cwd=cwd, env=clean | environment, capture_output=True)
    if result.returncode:
        text = (result.stdout + result.stderr).decode(errors="replace")
        raise Failure(f"{' '.join(map(str, command))[:300]} failed:\n{text[-3000:]}")
    return result.stdout


def tool(module, *arguments):
    return run(sys.executable, "-m", module, *arguments)


def main():
    not_run = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder), not_run)
    except (Failure, subprocess.CalledProcessError) as error:
        said = error if isinstance(error, Failure) else f"a build failed:\n{error.stdout}{error.stderr}"
        print(f"release-check: {said}", file=sys.stderr)
        return 2
    for line in not_run:
        print(f"Not run here: {line}")
    print(LEFT.format(version=jsgmath.__version__))
    return 0


def check(folder, not_run):
    shutil.rmtree(DIST, ignore_errors=True)
    made = distributions(DIST)
    source, *built = made
    found = dict(zip(PLATFORMS, built, strict=True))
    say(f"made {len(made)} files in {DIST}")
    again = distributions(folder / "again")
    for first, second in zip(made, again, strict=True):
        if digest(first) != digest(second):
            raise Failure(f"{first.name}: a second build gave other bytes")
    say("a second build, in another folder, gave the same bytes")

    tool("twine", "check", "--strict", *made)
    tool("pyroma", "--min", "8", source)  # it misses a mail address and a URL, which LEFT names
    say("twine and pyroma accept the metadata")
    for path in made:
        check_licences(path)
    for name, wheel in found.items():
        check_linked(PLATFORMS[name].target, wheel)
    say("the licences of the code, of the images and of what is linked are in every file")

    for name, wheel in found.items():
        needs = check_library(name, wheel)
        say(f"{name}: {', '.join(sorted(needs))}")
    for name in ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64"):
        if f'"{name}"' not in tool("auditwheel", "show", found[name]).decode().replace("\n", " "):
            raise Failure(f"auditwheel does not find that {found[name].name} is a {name}")
    say("auditwheel agrees")

    cases = folder / "calls.jsonl"
    cases.write_text("".join(json.dumps(x) + "\n" for x in committed_calls()))
    check_installed(folder / "venv", cases, found["manylinux_2_17_x86_64"])
    emulated = {
        "manylinux_2_17_aarch64": lambda wheel, at: aarch64_python(wheel, at, cases),
        "musllinux_1_2_x86_64": lambda wheel, at: musl("x86_64", "amd64", wheel, at),
        "musllinux_1_2_aarch64": lambda wheel, at: musl("aarch64", "arm64", wheel, at),
        "win_amd64": windows,
    }
    for name in PLATFORMS:
        if name in emulated:
            at = folder / name
            at.mkdir()
            try:
                say(f"{name}: {emulated[name](found[name], at)}")
            except FileNotFoundError as error:
                not_run.append(f"{name}, since there is no {error.filename}")
        elif name.startswith("macosx"):
            not_run.append(f"{name}, for there is no emulator; its exports and dependencies were checked")
    for path in sorted(DIST.iterdir()):
        print(f"{digest(path)}  {path.name}")


def say(text):
    print(text, flush=True)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_licences(path):
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    else:
        with tarfile.open(path) as archive:
            names = archive.getnames()
    for wanted in ("/LICENSE", "vae/fashion_mini/LICENSE"):
        if not any(name.endswith(wanted) and (wanted[0] != "/" or "fashion" not in name) for name in names):
            raise Failure(f"{path.name} has no {wanted}")


def check_linked(target, wheel):
    """Checks that a wheel lists the parts of its library and has the licences that must be included."""
    with zipfile.ZipFile(wheel) as archive:
        notices = archive.read(f"jsgmath/native/{linked.NOTICES}").decode()
        (bill,) = (name for name in archive.namelist() if name.endswith(f".dist-info/sboms/{linked.BILL}"))
        listed = [f"{x['name']} {x['version']}" for x in json.loads(archive.read(bill))["components"]]
    wanted = ["Copyright (c) Zig contributors", *(["mingw-w64 project"] if "windows" in target else []), *listed]
    missing = [text for text in wanted if text not in notices]
    if missing or not any(x.startswith("libc++ ") for x in listed):
        raise Failure(f"{wheel.name} lists {', '.join(listed)}; its {linked.NOTICES} lacks {', '.join(missing)}")


def check_library(name, wheel):
    """Checks that a wheel has one library, for its platform, with the right exports; returns what the library needs."""
    import lief  # imported here, because the tests do not need it, and pytest imports this file

    lief.logging.disable()
    with zipfile.ZipFile(wheel) as archive:
        libraries = [x for x in archive.namelist() if x.startswith("jsgmath/native/core.")]
        if libraries != [f"jsgmath/native/{PLATFORMS[name].library}"]:
            raise Failure(f"{wheel.name} holds {libraries}")
        binary = lief.parse(archive.read(libraries[0]))
    if isinstance(binary, lief.ELF.Binary):
        machine = {lief.ELF.ARCH.X86_64: "x86_64", lief.ELF.ARCH.AARCH64: "aarch64"}[binary.header.machine_type]
        needs, exports = {str(x) for x in binary.libraries}, {x.name for x in binary.exported_functions}
    elif isinstance(binary, lief.MachO.Binary):
        kinds = {lief.MachO.Header.CPU_TYPE.X86_64: "x86_64", lief.MachO.Header.CPU_TYPE.ARM64: "aarch64"}
        machine = kinds[binary.header.cpu_type]
        needs = {x.name for x in binary.libraries if x.command == lief.MachO.LoadCommand.TYPE.LOAD_DYLIB}
        exports = {x.name.removeprefix("_") for x in binary.exported_functions}
    else:
        machine = {lief.PE.Header.MACHINE_TYPES.AMD64: "x86_64"}[binary.header.machine]
        needs = {str(x) for x in binary.libraries}
        exports = {x.name for x in binary.exported_functions}
    allowed = ALLOWED[name.partition("_")[0].removesuffix("_amd64")]
    strange = {x for x in needs - allowed if not (name == "win_amd64" and x.lower().startswith(UCRT))}
    if strange:
        raise Failure(f"{wheel.name} needs {', '.join(sorted(strange))}")
    if machine != PLATFORMS[name].machine:
        raise Failure(f"{wheel.name} holds a library for {machine}")
    if not exports >= EXPORTS:
        raise Failure(f"{wheel.name} does not export {', '.join(EXPORTS - exports)}")
    return needs


def committed_calls():
    """The committed bits, as `recompute.py` reads them."""
    for point, value in points.committed():
        m1, s1, m2, s2 = np.array(point.numbers).T
        sides = [(m1, point.form1, s1), (m2, point.form2, s2)]
        yield call(point, sides, "float32" if point.single else "float64", value)
    for point, value in full_points.committed():
        yield call(point, [point.first, point.second], point.first[0].dtype.name, value)
    for given, values in calls.committed():
        yield [*given, values]


def call(point, sides, dtype, value):
    gaussians = [["Gaussian", dtype, {"mean": m.tolist(), form: scale.tolist()}] for m, form, scale in sides]
    alone = point.divergence == "jeffreys"
    return [point.divergence, gaussians, {} if alone else dict(alpha=point.alpha, convention=point.convention), [value]]


def check_installed(folder, cases, wheel):
    """Installs the wheel of this machine with its dependencies, computes values, and writes the bill of materials."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    say(f"installed here: {recomputed([python], cases)}")
    run(python, "-m", "jsgmath", cwd=folder)
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools")
    bill = DIST / f"jsgmath-{jsgmath.__version__}.cdx.json"
    tool("cyclonedx_py", "environment", *SBOM_OPTIONS, "--pyproject", ROOT / "pyproject.toml", "-o", bill, python)
    content = json.loads(bill.read_text())
    targets = (platform.target for platform in PLATFORMS.values())
    content["components"] += {part.name: part.component for x in targets for part in linked.parts(x)}.values()
    bill.write_text(json.dumps(content, indent=2))
    listed = [f"{x['name']} {x['version']}" for x in content["components"]]
    say(f"{bill.name} lists {', '.join(listed)}")


def recomputed(python, cases):
    script = ROOT / "tests" / "native" / "recompute.py"
    return run(*python, script, cases, cwd=cases.parent).decode().strip()


# In emulators


def debian(architecture, packages, folder):
    """Unpacks packages of Debian for another machine, without installing them."""
    for part in ("state/lists/partial", "cache/archives/partial", "deb", "root"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources").write_text("deb http://deb.debian.org/debian bookworm main\n")
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources",
        "Dir::Etc::sourceparts": os.devnull,
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    run("apt-get", *options, "update")
    run("apt-get", *options, "download", *packages, cwd=folder / "deb")
    for package in (folder / "deb").iterdir():
        run("dpkg", "-x", package, folder / "root")
    return folder / "root"


def aarch64_python(wheel, folder, cases):
    packages = (
        "python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libgcc-s1 libstdc++6 libexpat1 zlib1g"
    )
    root = debian("arm64", [*packages.split(), "libffi8", "libbz2-1.0", "liblzma5"], folder / "debian")
    site = folder / "site"
    kinds = [word for glibc in (17, 27, 28) for word in ("--platform", f"manylinux_2_{glibc}_aarch64")]
    tool("pip", "install", "--quiet", "--target", site, "--only-binary=:all:", "--python-version", "3.11", *kinds,
         "--constraint", ROOT / "constraints.txt", wheel)  # fmt: skip
    python = ["qemu-aarch64", "-L", root, "-E", f"PYTHONPATH={site}", root / "usr" / "bin" / "python3.11"]
    return recomputed(python, cases)


def musl(machine, architecture, wheel, folder):
    root = debian(architecture, ["musl"], folder / "debian")
    loader = root / "lib" / f"{machine}-linux-musl" / "libc.so"
    emulator = [] if machine == os.uname().machine else [f"qemu-{machine}"]
    return evaluated([*emulator, loader], PLATFORMS[f"musllinux_1_2_{machine}"], "evaluate", wheel, folder)


def windows(wheel, folder):
    return evaluated(["wine"], PLATFORMS["win_amd64"], "evaluate.exe", wheel, folder)


def evaluated(emulator, platform, name, wheel, folder):
    """The values of the library in the wheel, which a C++ program for the same platform calls."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (x for x in archive.namelist() if x.startswith("jsgmath/native/core."))
        library = archive.extract(member, folder)
    source = ROOT / "tests" / "native" / "evaluate.cpp"
    linking = [] if platform.target.endswith("windows-gnu") else ["-dynamic"]
    options = [*linking, "-std=c++17", "-O3", f"-I{ROOT / 'jsgmath' / 'native'}"]
    run(*platform.command, *options, source, "-o", folder / name)
    diagonal, full = list(points.committed()), list(full_points.taken())
    data, of_families = calls.packed()
    data = points.packed(point for point, _ in diagonal) + full_points.packed(point for point, _ in full) + data
    values = np.frombuffer(run(*emulator, folder / name, library, data=data, WINEPREFIX=str(folder), WINEDEBUG="-all"))
    wanted = np.array([value for _, value in diagonal + full] + of_families)
    decided = ~np.isnan(values)
    wrong = np.count_nonzero(values[decided] != wanted[decided])
    if len(values) != len(wanted) or wrong or decided.sum() < len(wanted) / 3:
        raise Failure(f"{wheel.name}: {wrong} of {decided.sum()} values are wrong, {len(wanted)} were computed")
    return f"{decided.sum()} values by the core, all with the committed bits; it leaves {(~decided).sum()} to Python"


if __name__ == "__main__":
    sys.exit(main())
