"""How fast is the exported graph in onnxruntime, beside ours?"""

from __future__ import annotations

import pytest
import torch

from benchmarks import THREADS
from benchmarks.scorers import FUSED, fused_scorer
from benchmarks.workload import Workload
from gradcon_ext.chain.tracing import parameters_of, trace_chain
from gradcon_ext.detector.stored_chain import StoredChain
from gradcon_ext.export.score_graph import score_graph

# Of per-sample gradients, which standard operators can only form, it has as many in memory as a batch has images.
BATCH = 64


def session_of(setup: Workload):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model = setup.model
    chain = trace_chain(model, list(setup.references), model.loss, setup.images.shape[1:])
    arrays = [
        [tensor.contiguous().numpy() for tensor in part]
        for part in (parameters_of(chain, model), setup.references.values())
    ]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    # Its threads would go on turning in our rounds, on the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    graph = score_graph(StoredChain(chain, *arrays, 0.12)).SerializeToString()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("samples", [1, BATCH])
def test_onnxruntime(compare, setup: Workload, samples: int) -> None:
    session, scorer = session_of(setup), fused_scorer(setup)
    images = setup.images[:samples]
    given = {"images": images.numpy()}
    torch.testing.assert_close(torch.from_numpy(session.run(["cosine"], given)[0]), scorer.score(images).cosine)
    ratio = compare(
        lambda: scorer.score(images),
        lambda: session.run(None, given),
        question="complete score, ours and as an ONNX graph",
        name=FUSED,
        baseline_name="onnxruntime",
        samples=samples,
        rounds=30,
    )
    assert ratio <= 1
