"""`gradcon reproduce --ray`."""

from __future__ import annotations

import json
from dataclasses import replace

from gradcon_ext.cli import main
from gradcon_ext.detector.detector import Detector
from gradcon_ext.reproduce import tables
from gradcon_ext.training.many import training
from support.training_runs import assert_same_detector


def reproduce(out, *options):
    words = ("table1", "--classes", "0", "--seeds", "1", "--epochs", "2", "--quiet", "--out", str(out))
    assert main(["reproduce", *words, *options]) == 0
    detectors = {path.parent.relative_to(out): Detector.load(path) for path in out.rglob("detector.safetensors")}
    lines = (out / "records" / "digits.jsonl").read_text().splitlines()
    records = [{**json.loads(line), "seconds": 0} for line in lines]  # which are never the same twice
    return detectors, records, (out / "table1.md").read_text(), (out / "table1.csv").read_text()


def test_the_results_are_those_of_one_machine(nodes, tmp_path, monkeypatch):
    monkeypatch.setitem(tables.DESIGNS, "table1", replace(tables.DESIGNS["table1"], dataset="digits"))
    expected_detectors, *expected = reproduce(tmp_path / "here")
    monkeypatch.setattr(training, "in_processes", None)  # so that the cluster has to train
    detectors, *results = reproduce(tmp_path / "there", "--ray")
    assert results == expected
    assert len(results[0]) == len(detectors) == len(tables.models_of("table1"))
    assert detectors.keys() == expected_detectors.keys()
    for name, detector in detectors.items():
        assert_same_detector(expected_detectors[name], detector)
