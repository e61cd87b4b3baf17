"""A fingerprint compares settings wherever code reads them, and says where it cannot."""

from __future__ import annotations

import pytest

from gradcon_ext.chain.chain import NotAChain
from gradcon_ext.chain.fingerprint import Fingerprint
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.losses import squared_error
from support.hidden_settings import READ_FROM_TENSORS, UNSEEN, WATCHED, Setting, Switched
from support.hostile_chains import SHAPE


@pytest.mark.parametrize("setting", WATCHED.values(), ids=WATCHED)
def test_a_changed_setting_is_noticed(setting: Setting) -> None:
    model = Switched(setting.read)
    assert not model.read()
    fingerprint = Fingerprint(model)
    assert fingerprint.unseen is None
    assert fingerprint.is_current()
    try:
        setting.change()
        assert model.read()
        assert not fingerprint.is_current()
    finally:
        setting.reset()


@pytest.mark.parametrize("name", UNSEEN)
def test_what_cannot_be_compared_is_told_and_is_no_chain(name: str) -> None:
    model = Switched(UNSEEN[name].read)
    unseen = Fingerprint(model).unseen
    assert unseen is not None
    assert name.split()[-1] in unseen or name == "itertools"
    with pytest.raises(NotAChain, match=unseen.split()[-1]):
        trace_chain(model, [], squared_error, SHAPE)


@pytest.mark.parametrize("name", READ_FROM_TENSORS)
def test_a_model_that_reads_numbers_of_a_tensor_is_no_chain(name: str) -> None:
    with pytest.raises(NotAChain, match=r"a tensor \(1,\)"):
        trace_chain(Switched(READ_FROM_TENSORS[name].read), [], squared_error, SHAPE)
