from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from gradcon_ext.data import one_class_split, read_digits
from gradcon_ext.reproduce import compared
from gradcon_ext.reproduce.baselines import BASELINES, Baseline, dcgan
from gradcon_ext.reproduce.baselines.fitting import descend
from gradcon_ext.reproduce.compared import record_baselines, run_baseline
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.measuring import OUTLIER_PERCENT
from gradcon_ext.reproduce.records import Record
from gradcon_ext.reproduce.splits import five_fold

pytestmark = pytest.mark.usefixtures("one_thread")

KDE, DAE, DSVDD, GAN = (Experiment("digits", name, "0", 1) for name in ("kde", "dae", "dsvdd", "gan"))


@pytest.mark.parametrize(("experiment", "epochs"), [(KDE, 0), (DAE, 2)])
def test_a_baseline_is_measured_on_the_same_split(experiment, epochs):
    split = one_class_split(read_digits(), "0", seed=1)
    scores = BASELINES[experiment.model].score(split.train, split.validation, split.test, 1, max(epochs, 1))
    record = run_baseline(experiment, epochs, None)
    assert (record.epochs, record.metrics) == (epochs, {"score": roc_auc_score(split.test_is_outlier, scores)})
    assert record.seconds > 0


@pytest.mark.usefixtures("two_classes")
def test_on_folds_a_baseline_is_measured_over_all_shares(monkeypatch):
    calls = []

    def darkness(train, validation, test, seed, epochs, checkpoints):
        calls.append((train, validation, seed, epochs))
        return 200.0 - test[:, 0, 0, 0]

    monkeypatch.setitem(BASELINES, "darkness", Baseline("Darkness", "of the first pixel", darkness, trained=True))
    metrics = run_baseline(Experiment("fashion-mnist", "darkness", "Dog", 3), 7, None).metrics
    folds = five_fold("fashion-mnist", "Dog", 3, None)
    ((train, validation, *arguments),) = calls  # trained once, for both folds
    assert arguments == [3, 7]
    np.testing.assert_array_equal(train, folds.images[folds.train])
    np.testing.assert_array_equal(validation, folds.images[folds.validation.inliers])
    assert list(metrics) == [f"{metric} at {percent} %" for percent in OUTLIER_PERCENT for metric in ("auroc", "f1")]
    for percent in OUTLIER_PERCENT:
        (known, known_is_outlier), (scores, is_outlier) = (
            (200 - folds.images[indices, 0, 0, 0].astype(int), is_outlier)
            for indices, is_outlier in (mixture.with_outliers(percent) for mixture in (folds.validation, folds.test))
        )
        threshold = max(known, key=lambda each, s=known, o=known_is_outlier: (f1_score(~o, s <= each), each))
        assert metrics[f"auroc at {percent} %"] == pytest.approx(roc_auc_score(is_outlier, scores))
        assert metrics[f"f1 at {percent} %"] == pytest.approx(f1_score(~is_outlier, scores <= threshold))


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs baselines without other processes, for which a test would wait."""
    monkeypatch.setattr(compared, "ProcessPoolExecutor", lambda *arguments: ThreadPoolExecutor(1))


@pytest.mark.usefixtures("in_this_process")
def test_only_what_is_missing_is_run(records, tmp_path, monkeypatch):
    kept = Record(0, 0, {"score": 0.5}), Record(1, 0, {"score": 0.5}), Record(2, 0, {"score": 0.5})
    for experiment, record in zip((KDE, DAE, DSVDD), kept, strict=True):
        records.put(experiment.name, record)
    record_baselines([KDE, DAE, DSVDD], records, epochs=2, runs=tmp_path, data_root=None, progress=False)
    assert (records.get(KDE.name), records.get(DSVDD.name)) == (kept[0], kept[2])
    expected = run_baseline(DAE, 2, None)
    assert records.get(DAE.name).epochs == 2
    assert records.get(DAE.name).metrics == pytest.approx(expected.metrics, abs=1e-6)

    monkeypatch.setattr(compared, "ProcessPoolExecutor", None)  # calling it fails
    record_baselines([KDE, DAE, DSVDD], records, epochs=2, runs=tmp_path, data_root=None, progress=False)


@pytest.mark.usefixtures("in_this_process")
def test_one_that_fails_does_not_lose_the_others(records, tmp_path):
    unknown = Experiment("digits", "dae", "eleven", 0)
    with pytest.raises(RuntimeError, match="digits/dae/eleven/seed-0: ValueError: .*'eleven'"):
        record_baselines([unknown, KDE], records, epochs=1, runs=tmp_path, data_root=None, progress=False)
    assert records.get(KDE.name) is not None


@pytest.mark.usefixtures("in_this_process")
def test_an_unfinished_training_goes_on_and_a_finished_one_is_removed(records, tmp_path, monkeypatch):
    expected = run_baseline(GAN, 3, None)
    steps = []
    monkeypatch.setattr(dcgan, "descend", lambda optimizer, loss: interrupt(steps, optimizer, loss, after=5))
    with pytest.raises(RuntimeError, match="digits/gan/0/seed-1: OSError: interrupted"):
        record_baselines([GAN], records, epochs=3, runs=tmp_path, data_root=None, progress=False)
    assert [path.name for path in (tmp_path / GAN.name).iterdir()] == ["training.safetensors"]

    steps.clear()
    monkeypatch.setattr(dcgan, "descend", lambda optimizer, loss: interrupt(steps, optimizer, loss, after=9))
    record_baselines([GAN], records, epochs=3, runs=tmp_path, data_root=None, progress=False)
    assert 0 < len(steps) < 9
    assert records.get(GAN.name).metrics == pytest.approx(expected.metrics, abs=1e-6)
    assert not (tmp_path / GAN.name).exists()


def interrupt(steps, optimizer, loss, after):
    """Take a step, after so many of which there is an error."""
    if len(steps) == after:
        raise OSError("interrupted")
    steps.append(loss.item())
    descend(optimizer, loss)


def test_workers_train_and_show_bars(records, tmp_path, capfd):
    record_baselines([DAE, GAN], records, epochs=2, runs=tmp_path, data_root=None, progress=True)
    expected = run_baseline(GAN, 2, None)
    assert records.get(GAN.name).metrics == pytest.approx(expected.metrics, abs=1e-6)
    shown = capfd.readouterr().err
    assert "baselines" in shown
    assert "GAN, training" in shown
