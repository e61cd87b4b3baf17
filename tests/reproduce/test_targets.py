from __future__ import annotations

from collections import Counter

import pytest

from gradcon_ext import RunsFailed
from gradcon_ext.reproduce import Reproduction, Table, targets
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.length import DATASETS as LENGTH_DATASETS
from gradcon_ext.reproduce.measuring import OUTLIER_PERCENT
from gradcon_ext.reproduce.records import Record
from support.cure_tsr_files import write_stand_in

pytestmark = pytest.mark.usefixtures("two_classes")

PAPER = ("cae-grad", "cae-grad-strong")
GRADCON = (*PAPER, "cae-lead-in-balanced")
COMPARED = ("ocsvm", "kde", "dae", "pixelcnn", "gan", "and", "anogan", "dsvdd", "ocgan")


@pytest.fixture
def made(monkeypatch):
    """Notes the experiments that would be trained, measured and compared with, instead of doing so."""
    noted = {}

    def note(kind):
        return lambda experiments, *arguments, **options: noted.update({kind: experiments})

    monkeypatch.setattr(targets, "train_missing", note("trained"))
    monkeypatch.setattr(targets, "trained_epochs", lambda experiment, runs: 10)
    monkeypatch.setattr(targets, "record_missing", note("measured"))
    monkeypatch.setattr(targets, "record_baselines", note("compared"))
    return noted


@pytest.fixture
def reproduce(tmp_path):
    """Returns a maker of reproductions of ten epochs."""

    def new(classes=(), seeds=2, datasets=()):
        out = tmp_path / "out"
        return Reproduction(out, tmp_path, epochs=10, seeds=seeds, classes=classes, datasets=datasets, progress=False)

    return new


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("table1", {("cifar10", model): 4 for model in (*PAPER, "cae", "vae", "vae-grad")}),
        ("table2", {("cifar10", model): 4 for model in (*GRADCON, *COMPARED, "vae")}),
        ("table3", {("mnist", model): 4 for model in (*GRADCON, *COMPARED, "vae")}),
        ("table4", {("fashion-mnist", model): 4 for model in (*GRADCON, "gpnd")}),
        ("fig3", {("cifar10", "cae"): 1, ("cifar10", "cae-grad"): 1}),
        ("fig4", {("cure-tsr", "cae"): 2, ("cure-tsr", "cae-grad"): 2}),
        ("fig5", {(dataset, model): 2 for dataset in ("mnist", "cifar10") for model in ("vae", "cae-grad")}),
        (
            "study",
            {
                **{(name, model): 4 for name in ("mnist", "cifar10") for model in (*PAPER, "cae-grad-primal")},
                ("cifar10-lanczos", "cae-grad"): 4,
            },
        ),
        ("length", {(name, model): 4 for name in LENGTH_DATASETS for model in ("cae-long", "cae-grad-long")}),
    ],
)
def test_what_a_target_needs(reproduce, tmp_path, target, expected):
    write_stand_in(tmp_path)
    needed = reproduce().experiments_of(target)
    assert Counter((each.dataset, each.model) for each in needed) == expected
    assert len(set(needed)) == len(needed)
    if target != "fig4":
        chosen = reproduce(classes=["dog"]).experiments_of(target)
        assert {each.inlier for each in chosen} == {"Dog"}
        assert len(chosen) == len([each for each in needed if each.inlier == "Cat"])


def test_length_is_of_the_data_sets_that_are_asked_for(reproduce):
    needed = reproduce(datasets=["mnist"]).experiments_of("length")
    assert {each.dataset for each in needed} == {"mnist"}
    assert {each.dataset for each in reproduce(datasets=["mnist"]).experiments_of("table1")} == {"cifar10"}
    with pytest.raises(ValueError, match="'svhn'.*cifar10, mnist, fashion-mnist-one-class"):
        reproduce(datasets=["mnist", "svhn"]).experiments_of("length")


def test_there_are_no_more_than_five_folds(reproduce):
    needed = reproduce(["0"], seeds=9).experiments_of("table4")
    assert sorted({each.seed for each in needed}) == [0, 1, 2, 3, 4]


def test_what_targets_share_is_made_once(reproduce, made):
    reproduce().prepare(["table1", "table2"])
    assert Counter(each.model for each in made["trained"]) == dict.fromkeys([*GRADCON, "cae", "vae", "vae-grad"], 4)
    assert made["measured"] == made["trained"]
    assert {each.model for each in made["compared"]} == set(COMPARED)


def test_what_has_finished_is_recorded_also_where_a_run_fails(reproduce, made, monkeypatch):
    def fail(*arguments, **options):
        raise RunsFailed({"one": ValueError("damaged")}, {})

    monkeypatch.setattr(targets, "train_missing", fail)
    monkeypatch.setattr(targets, "trained_epochs", lambda experiment, runs: 10 if experiment.inlier == "Dog" else 0)
    with pytest.raises(RunsFailed, match="damaged"):
        reproduce(seeds=1).prepare(["table1"])
    assert {each.inlier for each in made["measured"]} == {"Dog"}


def test_each_run_is_recorded_as_soon_as_it_has_finished(reproduce, made, monkeypatch):
    order = []

    def train_one_by_one(experiments, *, finished, **options):
        for each in experiments:
            order.append(("trained", each))
            finished(each)

    def record(experiments, *arguments, **options):
        order.extend(("recorded", each) for each in experiments)

    monkeypatch.setattr(targets, "train_missing", train_one_by_one)
    monkeypatch.setattr(targets, "record_missing", record)
    first, second, *_ = needed = reproduce(["Cat"], seeds=1, datasets=["mnist"]).experiments_of("length")
    reproduce(["Cat"], seeds=1, datasets=["mnist"]).prepare(["length"])
    assert order[:4] == [("trained", first), ("recorded", first), ("trained", second), ("recorded", second)]
    assert order[4:] == [("recorded", each) for each in needed]  # what had been trained before


def test_a_record_does_without_its_model_but_a_figure_does_not(reproduce, made):
    reproduction = reproduce(["Cat"], seeds=1)
    constrained, plain = (Experiment("cifar10", model, "Cat", 0) for model in ("cae-grad", "cae"))
    reproduction.records.put(constrained.name, Record(10, 10, {}))
    reproduction.records.put(plain.name, Record(9, 9, {}))
    reproduction.prepare(["table1"])
    assert constrained not in made["trained"]
    assert plain in made["trained"]
    reproduction.prepare(["table1", "fig3"])
    assert constrained in made["trained"]


def test_traffic_signs_are_not_measured_by_class(reproduce, made, tmp_path):
    write_stand_in(tmp_path)
    reproduce().prepare(["fig4"])
    assert len(made["trained"]) == 4
    assert made["measured"] == []


def test_what_is_not_there_is_found_before_anything_is_trained(reproduce, made):
    with pytest.raises(FileNotFoundError, match="CURE-TSR"):
        reproduce().prepare(["table1", "fig4"])
    with pytest.raises(ValueError, match="'bird'.* 0 Cat, 1 Dog"):
        reproduce(["Cat", "bird"]).prepare(["table1"])
    assert made == {}


def test_table_4_has_as_many_folds_as_there_are(reproduce):
    reproduction = reproduce(["Dog"], seeds=9)
    record = Record(10, 1, {f"{metric} at {each} %": 0.5 for each in OUTLIER_PERCENT for metric in ("auroc", "f1")})
    for fold in range(5):
        reproduction.records.put(Experiment("fashion-mnist", "cae-grad", "Dog", fold).name, record)
    table = reproduction.build("table4")
    assert isinstance(table, Table)
    assert "ours, 10 epochs, 5 folds | 0.500 ± 0.000 |" in table.markdown()
