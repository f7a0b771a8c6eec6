"""``python -m vae.figures`` writes what can be made and names the rest."""

import pytest

from tests.vae.figures.grid import add_grid
from vae.errors import UserError
from vae.figures import __main__ as command
from vae.figures.__main__ import main
from vae.figures.output import Result
from vae.runs.groups import read_runs


def test_the_command_writes_what_can_be_made_and_names_the_rest(tmp_path, capsys):
    add_grid(tmp_path / "runs")
    options = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    assert main(["fig3", "table1", *options]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    # Both figures need it, but it is named once.
    assert output.out.count("mnist JSG, alpha 0.2: python -m vae.train ") == 1
    assert "\nmissing (fig3, table1): mnist JSG, alpha 0.2: python -m vae.train " in output.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "fig3.png", "fig3.pdf", "fig3.csv", "fig3.txt", "table1.md", "table1.tex", "table1.csv", "table1.txt"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["fig3", "fig4", "fig5", "table1", "appB", "appE", "appF", "curves"])
def test_without_runs_nothing_is_written_and_the_missing_runs_are_named(name, tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    assert main([name, "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 2
    output = capsys.readouterr()
    assert output.err == f"vae.figures: {tmp_path / 'runs'} has no runs for {name}\n"
    missing = output.out.splitlines()
    assert all(line.startswith(f"missing ({name}): ") for line in missing)
    assert len(missing) >= 3
    assert not list((tmp_path / "out").iterdir())


def test_all_without_a_folder_of_runs_makes_the_figures_that_need_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        command, "FIGURES", {name: lambda runs: Result(None, [{"x": 1}], "") for name in command.FIGURES}
    )
    assert main(["all", "--runs", str(tmp_path / "nowhere"), "--out", str(tmp_path)]) == 0
    assert f"{tmp_path / 'nowhere'} is not a folder" in capsys.readouterr().out
    assert {path.stem for path in tmp_path.iterdir()} == {"fig1", "fig2"}


def test_a_missing_folder_is_reported_in_one_line(tmp_path, capsys):
    assert main(["fig3", "--runs", str(tmp_path / "nowhere"), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"vae.figures: {tmp_path / 'nowhere'} is not a folder")
    with pytest.raises(UserError):
        read_runs(tmp_path / "nowhere")
