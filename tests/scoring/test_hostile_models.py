"""Whatever is behind a model's back, its scores are those of automatic differentiation, or there is an error."""

import copy
import random
import re
import threading
from contextlib import contextmanager
from itertools import islice

import pytest
import torch
from torch.nn.modules import module as module_globals

from gradcon_ext.detector.detector import Detector, read_facts
from gradcon_ext.losses import loss_of
from gradcon_ext.scoring.scorer import Scorer
from support import hostile_chains
from support.hostile_chains import ALTERED, FORWARDS, HOSTILE, SHAPE, Plain, forward_of
from support.hostile_changes import CHANGES

pytestmark = pytest.mark.filterwarnings(
    "ignore:torch.func.vmap cannot run:UserWarning", "ignore:the loss does not", "ignore:Full backward hook is firing"
)


def references_of(model):
    names = [name for name, weight in model.named_parameters() if name.startswith("decoder") and weight.dim() > 1]
    generator = torch.Generator().manual_seed(3)
    parameters = dict(model.named_parameters())
    return {name: torch.randn(parameters[name].shape, generator=generator) for name in names}


@contextmanager
def as_it_is_scored(model, references):
    """The model itself in eval mode, its constrained weights differentiable; all of it is put back behind it."""
    training = [module for module in model.modules() if module.training]
    state = copy.deepcopy(model.state_dict())
    parameters = dict(model.named_parameters())
    frozen = [parameters[name] for name in references if not parameters[name].requires_grad]
    for module in training:
        module.training = False
    for weight in frozen:
        weight.requires_grad_()
    try:
        yield [parameters[name] for name in references]
    finally:
        for module in training:
            module.training = True
        for weight in frozen:
            weight.requires_grad_(False)
        model.load_state_dict(state)


def expected_scores(model, references, images):
    """Each image by itself, through automatic differentiation."""
    return torch.stack([expected_row(model, references, image[None]) for image in images])


def expected_row(model, references, image):
    with as_it_is_scored(model, references) as weights:
        return computed_row(model, weights, references, image.to(weights[0]))


def computed_row(model, weights, references, image):
    losses = loss_of(model)(model(image), image)
    gradients = torch.autograd.grad(losses.total.sum(), weights, materialize_grads=True, allow_unused=True)
    cosines = [
        torch.nn.functional.cosine_similarity(g.double().flatten(), r.double().flatten(), 0, eps=0).nan_to_num(0)
        for g, r in zip(gradients, references.values(), strict=True)
    ]
    return torch.stack([losses.reconstruction[0].detach().double(), *cosines])


def outcome(scorer, images, expected, tolerance=2e-4):
    """What the scorer makes of images: "refused" and why, or the name of its engine where the numbers are right."""
    try:
        scores = scorer.score(images)
    except ValueError as refusal:
        return f"refused: {refusal}"
    got = torch.cat([scores.reconstruction[:, None], scores.cosine], 1).double()
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance, msg=lambda m: f"{scorer.engine}: {m}")
    return scorer.engine.name


@pytest.fixture
def images():
    return torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(5))


# The arithmetic of bfloat16 is as coarse as that.
LOW_PRECISION = {"under_autocast": 2e-2, "decoder_under_autocast": 2e-2}
FUSED = {
    *("plain", "by_a_global", "by_settings", "replaced forward of the model", "an option of an object"),
    *("frozen decoder", "in training mode", "one layer in training mode", "in-place activations", "shared layer"),
}
REFUSED = {
    "by_batch_size": "alone",
    "for_one_image": "in a batch of 2",
    "by_gradients": "requires_grad",
    "by_weight_gradients": "requires_grad",
    "noisy": "bernoulli_",
    "over_the_batch": "influence each other",
    "centred": "influence each other",
    "reversed_batch": "influence each other",
    "replaced forward": "closes over a layer",
    "batch norm without statistics": "running statistics",
    "overridden train": "call model.eval()",
}


def score_anew(make, images, tolerance=2e-4):
    """What a scorer makes of a model that stays as it is; the yardstick takes a new one for every image."""
    model = new(make)
    references = references_of(model)
    expected = torch.cat([expected_scores(new(make), references, image[None]) for image in images])
    before = contents(model)
    found = outcome(Scorer(model, references), images, expected, tolerance)
    assert contents(model) == before
    return found


def new(make):
    torch.manual_seed(1)
    return make()


def contents(model):
    """The numbers, the modes and what else a forward may have left in a model."""
    numbers = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    return numbers, [module.training for module in model.modules()], getattr(model, "calls", None)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_is_scored_right_or_refused(name, images):
    found = score_anew(HOSTILE[name], images, LOW_PRECISION.get(name, 2e-4))
    if name in REFUSED:
        assert found.startswith("refused")
        assert REFUSED[name] in found
    else:
        assert found == ("fused chain" if name in FUSED else "any model")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_holds_the_chain_of_a_model_that_is_one(name, tmp_path):
    model = new(HOSTILE[name])
    detector = Detector(model.eval(), references_of(model), 1, preprocessing={"channels": 2, "size": SHAPE[1:]})
    detector.save(tmp_path / "detector")
    assert (read_facts(tmp_path / "detector")["chain"] is not None) == (name in FUSED)


# Of these, torch allows one for a model.
EXCLUSIVE = {"parametrization", "old weight_norm", "new weight_norm", "pruned"}


def compositions():
    """Endless: a model with a forward of its own and two alterations."""
    choose = random.Random(12)
    while True:
        forward = choose.choice([name for name in FORWARDS if name not in LOW_PRECISION])
        alterations = choose.sample(list(ALTERED), 2)
        if not EXCLUSIVE.issuperset(alterations):
            yield forward, *alterations


def composed(forward, *alterations):
    model = forward_of(FORWARDS[forward])()
    for name in alterations:
        ALTERED[name](model)
    return model


@pytest.mark.parametrize("names", list(islice(compositions(), 40)), ids=" + ".join)
def test_compositions_are_scored_right_or_refused(names, images):
    score_anew(lambda: composed(*names), images)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("batches", [[4], [4, 3]], ids=["one batch", "two sizes"])
def test_a_change_after_the_first_score_is_noticed(name, batches, images):
    torch.manual_seed(1)
    kind = type("Own", (Plain,), {})
    model = kind().eval()
    references = references_of(model)
    scorer = Scorer(model, references)
    for size in batches:
        assert outcome(scorer, images[:size], expected_scores(model, references, images[:size])) == "fused chain"
    CHANGES[name](model)
    references = {old: references[old].to(model.decoder[0].bias.dtype) for old in references}
    for size in batches:
        outcome(scorer, images[:size], expected_scores(model, references, images[:size]))


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_model_that_no_longer_runs_is_an_error(images):
    model = Plain().eval()
    scorer = Scorer(model, references_of(model))
    scorer.score(images)
    model.encoder[0].stride = (3, 3)
    with pytest.raises(RuntimeError) as own:
        loss_of(model)(model(images), images)
    with pytest.raises(RuntimeError, match=re.escape(str(own.value))):
        scorer.score(images)


@pytest.mark.parametrize("name", ["SLOPE", "SETTINGS"])
def test_a_changed_global_is_noticed(name, images, monkeypatch):
    model = HOSTILE["by_a_global" if name == "SLOPE" else "by_settings"]().eval()
    references = references_of(model)
    scorer = Scorer(model, references)
    assert outcome(scorer, images, expected_scores(model, references, images)) == "fused chain"
    if name == "SLOPE":
        monkeypatch.setattr(hostile_chains, "SLOPE", 0.9)
    else:
        monkeypatch.setitem(hostile_chains.SETTINGS, "slope", 0.9)
    assert outcome(scorer, images, expected_scores(model, references, images)) == "fused chain"


def test_a_changed_option_is_noticed(images):
    model = hostile_chains.with_options().eval()
    references = references_of(model)
    scorer = Scorer(model, references)
    outcome(scorer, images, expected_scores(model, references, images))
    model.options.slope = 0.8
    outcome(scorer, images, expected_scores(model, references, images))


@pytest.mark.parametrize(
    "register",
    [
        lambda: module_globals.register_module_forward_hook(lambda module, _args, out: out * 0.9),
        lambda: module_globals.register_module_forward_pre_hook(lambda module, args: None),
        lambda: module_globals.register_module_full_backward_hook(
            lambda module, grad_input, _g: tuple(None if g is None else g * 2 for g in grad_input)
        ),
    ],
    ids=["forward", "pre", "backward"],
)
@pytest.mark.parametrize("first", [True, False], ids=["before the first score", "after it"])
def test_hooks_of_all_modules_keep_the_fused_engine_away(register, first, images):
    model = Plain().eval()
    references = references_of(model)
    scorer = Scorer(model, references)
    if not first:
        scorer.score(images)
    handle = register()
    try:
        assert outcome(scorer, images, expected_scores(model, references, images)).partition(":")[0] in (
            "any model",
            "refused",
        )
    finally:
        handle.remove()
    assert outcome(scorer, images, expected_scores(model, references, images)) == "fused chain"


def test_the_engine_is_right_for_every_number_of_images(images):
    model = HOSTILE["by_batch_size"]().eval()
    references = references_of(model)
    scorer = Scorer(model, references)
    assert scorer.engine_for(SHAPE).name == "any model"
    assert "batch of 1 " in scorer.engine_for(SHAPE).reason
    assert outcome(scorer, images[:3], expected_scores(model, references, images[:3])) == "any model"


def test_threads_share_a_scorer(images):
    model = Plain()  # in training mode
    references = references_of(model)
    state = copy.deepcopy(model.state_dict())
    scorer = Scorer(model, references)
    expected = expected_scores(model, references, images)
    wrong = []

    def work():
        for _ in range(10):
            try:
                outcome(scorer, images, expected)
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert model.training
