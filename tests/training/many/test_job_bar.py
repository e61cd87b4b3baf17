from __future__ import annotations

import re
from contextlib import closing

from gradcon_ext.training.many.job_bar import JobBar
from gradcon_ext.training.progress import Progress


def test_runs_that_have_not_begun_count_as_the_others(capsys):
    def shown():
        return capsys.readouterr().err.rpartition("\r")[2]

    with closing(JobBar(4, shown=True)) as bar:
        bar.show(0, Progress(0, 100, 1))
        assert re.search("0/4 runs.* 0.00/400 ", shown())
        bar.show(2, Progress(50, 200, 2))  # resumed
        assert " 50.0/600 " in shown()
        bar.show(0, Progress(70, 100, 1))
        bar.show(0, Progress(10, 100, 1))  # started over
        bar.end(0)
        assert re.search("1/4 runs.* 150/600 ", shown())
        bar.end(1)  # failed before it began
        bar.end(2)
        bar.show(3, Progress(0, 100, 1))
        bar.end(3)
    assert re.search("4/4 runs.* 400/400 ", shown())


def test_a_bar_that_is_not_shown(capsys):
    with closing(JobBar(1, shown=False)) as bar:
        bar.show(0, Progress(0, 100, 1))
        bar.end(0)
    assert capsys.readouterr().err == ""
