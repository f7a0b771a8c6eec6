"""The text of the repository, including its code, has no common misspelling."""

from pathlib import Path

from codespell_lib import main


def test_no_word_is_misspelt(monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[2])  # pyproject.toml says which files and words are left out
    misspelt = main()
    assert misspelt == 0, capsys.readouterr().out
