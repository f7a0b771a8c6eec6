"""Pages of many runs, whose curves take half a second each to draw."""

import contextlib
import functools

import pytest

from vae.report import sections


@contextlib.contextmanager
def drawing_once():
    first, picture = [], sections.curves_picture

    @functools.cache
    def drawn():
        return picture(*first)

    def curves_picture(history, title):
        first[:] = first or [history, title]
        return drawn()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "curves_picture", curves_picture)
        yield


@pytest.fixture(scope="session")
def one_drawing():
    """A context in which the curves of the first run are shown for all runs; other tests draw those of each run."""
    return drawing_once
