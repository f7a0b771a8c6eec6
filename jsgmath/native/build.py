"""Compiles the core with the system's C++ compiler; ``python -m jsgmath.native`` does it where the sources are.

The environment variable ``CXX`` names another compiler than ``c++``, and may include options.  A build of the package
runs this file before the package can be imported.  So it does not import the package, and loads the files that it needs
by their paths.
"""

import ast
import importlib.util
import math
import os
import platform
import shlex
import shutil
import struct
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import ModuleType


def _beside(name: str) -> ModuleType:
    """Loads the module in the file of this name in this folder."""
    return _module(Path(__file__).with_name(f"{name}.py"))


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_core_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_sources = _beside("sources")
HERE, LIBRARY = Path(_sources.HERE), _sources.LIBRARY
TRANSLATED = ["ratio", "split_g", "split_gs", "mean_weights", "shares", "to_mean", "from_mean", "skew", "to_mean_grad",
              "from_mean_grad", "to_mean_by_alpha", "from_mean_by_alpha"]  # fmt: skip
# The bounds need sums and products in the written order; the two others let the compiler make vectors of a choice.
STRICT = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
OPTIONS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", *STRICT]
PLAIN: dict[str, list[str]] = {"plain": []}
X86 = PLAIN | {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"],
}
ONE_LANE = ["-DONE_LANE"]
# What is compiled for each set of instructions, "{}" here: its name, its source and more options.  The longest come
# first, so that in the end no processor waits for another.
KINDS: list[tuple[str, str, list[str]]] = [
    ("families", "families.cpp", []),
    ("diagonal", "diagonal.cpp", []),
    ("tensors", "tensors.cpp", ONE_LANE),
    ("gamma", "gamma.cpp", []),
    ("many", "many.cpp", []),
    ("gradient", "gradient.cpp", []),
    ("single", "full.cpp", ONE_LANE),
    ("single_tensors", "full_tensors.cpp", ONE_LANE),
    ("full", "full.cpp", ["-DOF_MANY=full_many_{}"]),
    ("full_tensors", "full_tensors.cpp", []),
    ("sums", "sums.cpp", []),
    ("copy", "copy.cpp", []),
]

# Numbers of terms of the series, first of those whose coefficients are pairs; verification/README.md bounds the rest.
TAIL_PAIRS, TAIL = 3, 11
EXP_PAIRS, EXP = 6, 10
LONG_TAIL_PAIRS, LONG_TAIL = 5, 10  # for exponential families
LONG_EXP_PAIRS, LONG_EXP = 8, 10
FINE_TAIL_PAIRS, FINE_TAIL = 6, 11  # for gamma and Dirichlet distributions, where terms cancel
STIRLING_PAIRS = 4  # the number of all terms is that of stirling.py
SHORT_TAIL, SHORT_EXP = 6, 8  # for results in floats
CIRCLE = 10  # of sine and cosine, for noise


def compiler() -> list[str] | None:
    """The command of the C++ compiler, or None if there is none."""
    command = shlex.split(os.environ.get("CXX", "c++"))
    return command if command and shutil.which(command[0]) else None


def build(target: Path = HERE / LIBRARY, command: list[str] | None = None, machine: str | None = None) -> Path:
    """Compiles the library and puts it in ``target``.

    Raises:
        FileNotFoundError: no C++ compiler.
        subprocess.CalledProcessError: the compiler failed; ``stderr`` has its messages.
    """
    command = command or compiler()
    if command is None:
        raise FileNotFoundError("no C++ compiler: install one, or name it in the environment variable CXX")
    machine = machine or platform.machine()
    sets = X86 if machine.lower() in ("x86_64", "amd64") else PLAIN
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "formula.hpp").write_text(formula_header(), encoding="utf-8")
        (work / "terms.hpp").write_text(terms_header(), encoding="utf-8")
        (work / "full_terms.hpp").write_text(full_terms_header(), encoding="utf-8")
        (work / "several_terms.hpp").write_text(several_terms_header(), encoding="utf-8")
        (work / "constants.hpp").write_text(constants_header(), encoding="utf-8")
        (work / "sources.hpp").write_text(f'#define SOURCES "{_sources.sources()}"\n', encoding="utf-8")

        tasks = [
            (f"{kind}_{name}", source, [*options, *(x.format(name) for x in more), f"-DNAME={kind}_{name}"])
            for kind, source, more in KINDS
            for name, options in sets.items()
        ]
        tasks += [("interface", "interface.cpp", ["-DX86"] if sets is X86 else []), ("factor", "factor.cpp", [])]

        def compiled(task: tuple[str, str, list[str]]) -> Path:
            name, source, options = task
            made = work / f"{name}.o"
            _run([*command, *OPTIONS, *options, f"-I{work}", f"-I{HERE}", "-c", str(HERE / source), "-o", str(made)])
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compiled, tasks))
        made = work / target.name
        _run([*command, "-shared", "-pthread", *map(str, objects), "-o", str(made)])
        if made.suffix == ".dll":
            _remove_time(made)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(made, temporary)
        temporary.replace(target)
    return target


def _remove_time(library: Path) -> None:
    """Sets the time of linking in a library for Windows to 0, so that another build gives the same bytes."""
    content = bytearray(library.read_bytes())
    (header,) = struct.unpack_from("<I", content, 0x3C)
    content[header + 8 : header + 12] = bytes(4)
    library.write_bytes(content)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def formula_header() -> str:
    """The formula and the kernels as C++."""
    found = {node.name: node for name in _sources.FORMULAS for node in functions(name)}
    return _beside("translate").cpp(*(found[name] for name in TRANSLATED)) + "\n"


def terms_header() -> str:
    """The terms of the exponential families as C++."""
    return _beside("translate").cpp(*(found for name in _sources.FAMILIES for found in functions(name))) + "\n"


def full_terms_header() -> str:
    """The terms of full covariances as C++."""
    return _beside("translate").cpp(*functions(_sources.FULL_TERMS)) + "\n"


def several_terms_header() -> str:
    """The terms of several Gaussians as C++."""
    return _beside("translate").cpp(*functions(_sources.SEVERAL_TERMS)) + "\n"


def functions(name: str) -> list[ast.FunctionDef]:
    """The functions of a module of the package."""
    module = ast.parse((HERE.parent / name).read_text(encoding="utf-8"))
    return [node for node in module.body if isinstance(node, ast.FunctionDef)]


def constants_header() -> str:
    """Coefficients of the series, the highest power first, and log(2)."""
    stirling = _module(HERE.parent / _sources.STIRLING)
    fine_tail = [Fraction(2, 2 * k + 3) for k in range(FINE_TAIL_PAIRS + FINE_TAIL)]
    longest_tail = fine_tail[: LONG_TAIL_PAIRS + LONG_TAIL]
    longest_exp = [Fraction(1, math.factorial(k + 2)) for k in range(LONG_EXP_PAIRS + LONG_EXP)]
    tail, exp = longest_tail[: TAIL_PAIRS + TAIL], longest_exp[: EXP_PAIRS + EXP]
    in_pairs = (
        ("TAIL", tail, TAIL_PAIRS),
        ("EXP", exp, EXP_PAIRS),
        ("LONG_TAIL", longest_tail, LONG_TAIL_PAIRS),
        ("LONG_EXP", longest_exp, LONG_EXP_PAIRS),
        ("FINE_TAIL", fine_tail, FINE_TAIL_PAIRS),
        ("STIRLING", stirling.coefficients(stirling.TERMS), STIRLING_PAIRS),
    )
    log2 = log_of_2()
    high = Fraction(math.floor(log2 * 2**42), 2**42)  # 42 bits: its product with 10 bits is exact
    lines = ["#pragma once", '#include "pair.hpp"']
    for name, series, pairs in in_pairs:
        lines += [f"const int {name}_PAIRS_COUNT = {pairs}, {name}_COUNT = {len(series) - pairs};"]
        lines += [f"constexpr Constant {name}_PAIRS[] = {{{', '.join(map(_pair, reversed(series[:pairs])))}}};"]
        lines += [f"constexpr double {name}[] = {{{', '.join(float(c).hex() for c in reversed(series[pairs:]))}}};"]
    circle = [Fraction((-1) ** (k // 2), math.factorial(k)) for k in range(2 * CIRCLE)]
    doubles = {
        "SHORT_TAIL": tail[:SHORT_TAIL], "SHORT_EXP": exp[:SHORT_EXP],
        "WHOLE_TAIL": tail, "COSINE": circle[::2], "SINE": circle[1::2],
    }  # fmt: skip
    for name, series in doubles.items():
        lines += [f"constexpr double {name}[] = {{{', '.join(float(c).hex() for c in reversed(series))}}};"]
    lines += [
        f"const Constant LOG2 = {_pair(log2)};",
        f"const double LOG2_HIGH = {float(high).hex()}, LOG2_LOW = {float(log2 - high).hex()};",
        f"const double INVERSE_LOG2 = {float(1 / log2).hex()};",
        f"const double EIGHTH = {(math.pi / 2**31).hex()};",
        f"const uint64_t SQRT_HALF = {_bits(math.sqrt(0.5)):#x};",
    ]
    return "\n".join(lines) + "\n"


def log_of_2() -> Fraction:
    """log(2) with 200 bits, as ``2 artanh(1/3)``."""
    return sum((Fraction(2, (2 * k + 1) * 3 ** (2 * k + 1)) for k in range(70)), Fraction(0))


def _bits(x: float) -> int:
    return struct.unpack("<q", struct.pack("<d", x))[0]


def _pair(x: Fraction) -> str:
    high = float(x)
    return f"{{{high.hex()}, {float(x - Fraction(high)).hex()}}}"
