from __future__ import annotations

from contextlib import closing

from gradcon_ext.many.job_bar import JobBar
from gradcon_ext.progress import Progress


def test_runs_that_have_not_begun_count_as_the_others(capsys):
    with closing(JobBar(4, shown=True)) as bar:
        bar.show(0, Progress(0, 100, 1))
        assert bar._bar.total == 400
        bar.show(2, Progress(50, 200, 2))  # resumed
        assert (bar._bar.n, bar._bar.initial, bar._bar.total) == (50, 50, 600)
        bar.show(0, Progress(70, 100, 1))
        bar.show(0, Progress(10, 100, 1))  # started over
        assert bar._bar.n == 60
        bar.end(0)
        bar.end(1)  # failed before it began
        bar.end(2)
        bar.show(3, Progress(0, 100, 1))
        bar.end(3)
        assert bar._bar.n == bar._bar.total == 400
    assert "4/4 runs" in capsys.readouterr().err


def test_a_bar_that_is_not_shown(capsys):
    with closing(JobBar(1, shown=False)) as bar:
        bar.show(0, Progress(0, 100, 1))
        bar.end(0)
    assert capsys.readouterr().err == ""
