"""``python -m jsgmath``: what it prints and writes, and what it says when it cannot."""

import io
import os
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

import jsgmath
from jsgmath import Gaussian
from jsgmath.command_line import main, read_gaussians

N1 = Gaussian([1.0, 0.0], var=[0.5, 2.0])
N2 = Gaussian([[0.0, 1.0], [3.0, -1.0]], cov=[[2.0, 1.0], [1.0, 3.0]])


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """A working folder with the two Gaussians above and three data sets."""
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", mean=N1.mean, var=N1.var)
    np.savez("b.npz", mean=N2.mean, cov=N2.scale)
    rng = np.random.default_rng(0)
    for name in ("x", "y", "z"):
        np.savetxt(f"{name}.csv", rng.normal(size=(9, 3)), delimiter=",", fmt="%.17g")


def output(capsys, *words):
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def error(capsys, *words):
    """The line that a failing command prints; it must print nothing else and leave no file."""
    try:
        status = main(words)
    except SystemExit as stop:  # from argparse
        status = stop.code
    said = capsys.readouterr()
    assert (status, said.out, said.err.count("\n")) == (2, "", 1)
    return said.err


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["jsg", "--alpha", ".3"], jsgmath.jsg(N1, N2, 0.3)),
        (["jsg"], jsgmath.jsg(N1, N2, 0.5)),
        (["jsg", "--alpha", "0.3", "--convention", "nielsen"], jsgmath.jsg(N1, N2, 0.3, convention="nielsen")),
        (["jsg_dual", "--alpha", "0.3"], jsgmath.jsg_dual(N1, N2, 0.3)),
        (["bhattacharyya", "--alpha", "0.25"], jsgmath.bhattacharyya(N1, N2, 0.25)),
        (["kl"], jsgmath.kl(N1, N2)),
        (["jeffreys"], jsgmath.jeffreys(N1, N2)),
        (["js", "--lam", "0.25"], jsgmath.js(N1, N2, 0.25)[0]),
    ],
)
def test_a_divergence_prints_the_bits_of_the_function_a_line_for_each_pair(capsys, words, values):
    name, *options = words
    printed = output(capsys, name, "a.npz", "b.npz", *options)
    assert [float(line) for line in printed.splitlines()] == values.tolist()
    assert output(capsys, name, "a.npz", "b.npz", *options, "-o", "values.csv") == ""
    with open("values.csv") as file:
        assert file.read() == printed


def test_the_numbers_of_a_float32_file_print_as_float32(capsys):
    np.savez("single.npz", mean=np.float32([0.1]), var=np.float32([1.0]))
    np.savez("other.npz", mean=np.float32([0.7]), var=np.float32([1.3]))
    value = jsgmath.kl(read_gaussians(Path("single.npz")), read_gaussians(Path("other.npz")))
    assert value.dtype == np.float32
    assert output(capsys, "kl", "single.npz", "other.npz") == str(value) + "\n"


@pytest.mark.parametrize("form", ["cov", "var"])
def test_data_sets_are_fitted_and_compared(capsys, form):
    data = [np.loadtxt(f"{name}.csv", delimiter=",") for name in ("x", "y", "z")]
    if form == "cov":
        scales, diagonal = [np.cov(x, rowvar=False) for x in data], []
    else:
        scales, diagonal = [x.var(0, ddof=1) for x in data], ["--diagonal"]
    batch = Gaussian([x.mean(0) for x in data], **{form: scales})

    output(capsys, "fit", "x.csv", "-o", "x.npz", *diagonal)
    fitted = read_gaussians(Path("x.npz"))
    assert (fitted.form, fitted.batch_shape) == (form, ())
    assert np.array_equal(fitted.mean, batch.mean[0])
    assert np.array_equal(fitted.scale, batch.scale[0])

    output(capsys, "fit", "x.csv", "y.csv", "z.csv", "-o", "all.npz", *diagonal)
    for words, options in [
        ([], {}),
        (["--alpha", "0.2", "--dual"], {"dual": True}),
        (
            ["x.npz", "--alpha", "0.2", "--convention", "nielsen"],
            {"others": batch.indexed(slice(1)), "convention": "nielsen"},
        ),
    ]:
        output(capsys, "pairwise", "all.npz", *words, "-o", "matrix.csv")
        alpha = 0.2 if words else 0.5
        expected = jsgmath.pairwise(batch, alpha, **options)
        assert np.array_equal(np.loadtxt("matrix.csv", delimiter=",", ndmin=2), expected)


def test_names_above_the_numbers_quotes_a_byte_order_mark_and_empty_lines_are_left_out(capsys):
    with open("x.csv") as file:
        text = file.read()
    output(capsys, "fit", "x.csv", "-o", "x.npz")
    quoted = "\r\n".join(", ".join(f'"{x}"' for x in line.split(",")) for line in text.splitlines())
    for content in ("height,weight,age\n" + text, "\ufeff" + text + "\n\n", '"a, b","""c""",d\r\n' + quoted):
        with open("other.csv", "w", encoding="utf-8") as file:
            file.write(content)
        output(capsys, "fit", "other.csv", "-o", "other.npz")
        assert np.array_equal(read_gaussians(Path("x.npz")).scale, read_gaussians(Path("other.npz")).scale)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kl", "a.npz"], "the following arguments are required: N2; see python -m jsgmath kl -h"),
        (["kl", "a.npz", "missing.npz"], "missing.npz: No such file or directory"),
        (
            ["kl", "a.npz", "x.csv"],
            "x.csv is not an .npz file of numbers; a file of Gaussians is an .npz with mean and one of var",
        ),
        (["kl", "a.npz", "plain.npy"], "plain.npy is not an .npz file"),
        (["kl", "a.npz", "sigma.npz"], "sigma.npz holds mean, sigma; a file of Gaussians is an .npz with mean and "),
        (["kl", "a.npz", "negative.npz"], "negative.npz: var must be positive"),
        (["kl", "a.npz", "three.npz"], "N1 has dimension 2 but N2 has 3"),
        (["jsg", "a.npz", "b.npz", "--alpha", "1.2"], "alpha must lie in [0, 1], got 1.2"),
        (["jsg", "a.npz", "b.npz", "--alpha", "x"], "argument --alpha: invalid number value: 'x'"),
        (["js", "a.npz", "b.npz", "--lam", "0_1"], "argument --lam: invalid number value: '0_1'"),
        (["kl", "a.npz", "b.npz", "-o", "no/folder.csv"], "no/folder.csv: No such file or directory"),
        (["kl", "a.npz", "b.npz", "-o", ""], ".: Is a directory"),
        (["pairwise", "a.npz", "three.npz", "-o", "matrix.csv"], "dimension"),
        (
            ["fit", "x.csv", "narrow.csv", "--diagonal", "-o", "new.npz"],
            "equally many columns, got x.csv 3, narrow",
        ),
        (["fit", "x.csv", "-o", "new.csv"], "a file of Gaussians is an .npz, got the name new.csv"),
        (["fit", "ragged.csv", "-o", "new.npz"], "ragged.csv, line 2: 1 numbers, but 2 in the rows above"),
        (
            ["fit", "words.csv", "-o", "new.npz"],
            "words.csv, line 2: 'a' is not a number; give rows of numbers with commas",
        ),
        (
            ["fit", "mixed.csv", "-o", "new.npz"],
            "mixed.csv, line 1: 'x' is not a number; give rows of numbers with commas",
        ),
        (
            ["fit", "python.csv", "-o", "new.npz"],
            "python.csv, line 1: '1_0' has an underscore, as in Python; write 10.0",
        ),
        (["fit", "open.csv", "-o", "new.npz"], "open.csv, line 2 is not CSV (unexpected end of data); check its quot"),
        (["fit", "nan.csv", "-o", "new.npz"], "nan.csv, line 2: every entry must be finite"),
        (["fit", "one.csv", "-o", "new.npz"], "one.csv has 1 row of numbers; a variance needs two"),
        (["fit", "a.npz", "-o", "new.npz"], "a.npz is not text"),
        (["fit", "narrow.csv", "-o", "new.npz"], "narrow.csv: cov is not positive definite"),
        (["fit", "constant.csv", "--diagonal", "-o", "new.npz"], "constant.csv: var must be positive"),
        (["fit", "huge.csv", "--diagonal", "-o", "new.npz"], "huge.csv: "),
    ],
)
def test_an_error_is_one_line_and_leaves_no_file(capsys, tmp_path, words, message):
    np.save("plain.npy", np.zeros(3))
    np.savez("sigma.npz", mean=[0.0], sigma=[1.0])
    np.savez("negative.npz", mean=[0.0], var=[-1.0])
    np.savez("three.npz", mean=[0.0] * 3, var=[1.0])
    texts = {
        "narrow": "1,2\n3,4\n",
        "ragged": "1,2\n3\n",
        "words": "1,2\na,b\n",
        "mixed": "1,x\n1,2\n2,4\n",
        "python": "1_0,2_0\n1,2\n2,4\n",
        "open": '1,2\n3,"4\n',
        "nan": "1,2\nnan,4\n",
        "one": "x,y\n1,2\n",
        "constant": "1,2\n1,4\n",
        "huge": "1e308,1\n-1e308,2\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert message in error(capsys, *words)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_failed_write_keeps_the_file_that_was_there(capsys, tmp_path, monkeypatch):
    (tmp_path / "x.npz").write_text("old")

    def full(path, content):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert "x.npz: No space left on device" in error(capsys, "fit", "x.csv", "-o", "x.npz")
    assert (tmp_path / "x.npz").read_text() == "old"
    assert not list(tmp_path.glob(".*"))


def test_gaussians_are_read_from_a_pipe(capsys):
    """An archive is read from its end, and a pipe only once and from its beginning."""
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(Path("a.npz").read_bytes()))
    writer.start()
    assert output(capsys, "kl", "pipe", "a.npz") == "0.0\n"
    writer.join()


def test_a_link_a_mode_and_a_pipe_stay(capsys, tmp_path):
    """Only files are replaced; otherwise root would replace the device /dev/stdout by a file."""
    shown = output(capsys, "kl", "a.npz", "b.npz")
    target, link, pipe = (tmp_path / name for name in ("target.csv", "link.csv", "pipe"))
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target.name)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for name in (link, pipe):
        output(capsys, "kl", "a.npz", "b.npz", "-o", str(name))
    assert os.read(reader, 100).decode() == target.read_text() == shown
    os.close(reader)
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_file_in_shared_memory_is_replaced_and_an_open_descriptor_is_not(capsys, tmp_path):
    """Both lie under /dev; appending to the first left the values of the last call in front of those of this one."""
    shown = output(capsys, "kl", "a.npz", "b.npz")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        file = Path(folder, "values.csv")
        for _ in range(2):
            output(capsys, "kl", "a.npz", "b.npz", "-o", str(file))
        assert file.read_text() == shown
    with (tmp_path / "log.txt").open("w") as log:
        log.write("before\n")
        log.flush()
        output(capsys, "kl", "a.npz", "b.npz", "-o", f"/dev/fd/{log.fileno()}")
    assert (tmp_path / "log.txt").read_text() == f"before\n{shown}"


def test_a_closed_standard_output_is_an_error_unless_a_file_is_named(capsys, monkeypatch):
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        assert main(["kl", "a.npz", "b.npz"]) == main([]) == 2
        assert main(["kl", "a.npz", "b.npz", "-o", "values.csv"]) == 0
    assert capsys.readouterr().err.count("standard output is closed") == 2


def test_a_standard_output_that_takes_a_part_at_a_time_gets_every_value(monkeypatch):
    """A disk that fills up does so, before it raises; with PYTHONUNBUFFERED nothing stands between."""
    expected = ",".join(map(str, jsgmath.kl(N1, N2)))

    class Parts(io.RawIOBase):
        def __init__(self, room):
            self.room, self.taken = room, b""

        def writable(self):
            return True

        def write(self, content):
            part = bytes(content[: min(7, self.room - len(self.taken))])
            if not part:
                raise OSError(28, "No space left on device")
            self.taken += part
            return len(part)

    for room in (100, 20):
        disk = Parts(room)
        with monkeypatch.context() as full:
            full.setattr(sys, "stdout", io.TextIOWrapper(disk, write_through=True))
            assert main(["kl", "a.npz", "b.npz"]) == (0 if room == 100 else 2)
        assert len(disk.taken) == min(room, len(expected) + 1)


def test_without_a_command_it_prints_the_versions_and_help_names_every_command(capsys):
    printed = output(capsys)
    assert f"jsgmath {jsgmath.__version__}" in printed
    assert f"NumPy {np.__version__}" in printed
    assert f"Python {sys.version.split()[0]}" in printed
    with pytest.raises(SystemExit) as stop:
        main(["-h"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {name} " in shown for name in ("jsg", "jsg_dual", "kl", "jeffreys", "js", "pairwise", "fit"))
