"""Bytes that the system hands out anew, and clears, for every pass and every training step."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PREPARATION = """
import resource
import torch
from torch import nn
from gradcon_ext import GradientConstraint, keep_freed_memory, per_sample_alignment
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.training.objective import Objective

keep_freed_memory()
images = torch.rand(64, 3, 28, 28)
"""
ALIGNMENT = """
model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 3, 3, padding=1))
references = {"0.weight": torch.ones(32, 3, 3, 3)}

def run():
    per_sample_alignment(model, lambda output, x: (output - x).square().flatten(1).mean(1), images, references)
"""
TRAINING_STEP = """
model = ConvAutoencoder(3, 28).train()
weights = {name: weight for name, weight in model.named_parameters() if name.startswith("decoder")}
step = Objective(model, squared_error, GradientConstraint(weights), (3, 28, 28))

def run():
    model.zero_grad()
    step.forward(images)
    step.backward()
"""
MEASUREMENT = """

def faults_of_runs(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults_of_runs(5)  # until the blocks have found their places
print(faults_of_runs(10) / 10 * resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide by themselves what they keep")
@pytest.mark.parametrize("what", [ALIGNMENT, TRAINING_STEP], ids=["alignment", "training step"])
def test_what_runs_again_finds_the_memory_that_it_freed(what: str) -> None:
    code = PREPARATION + what + MEASUREMENT
    command = [sys.executable, "-c", code]
    # What the user has set of his allocator counts, but not here.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name not in ("GLIBC_TUNABLES", "LD_PRELOAD")
    }
    # Not in the folder of the source, which would come before the installed package.
    done = subprocess.run(command, cwd=sys.prefix, env=environment, capture_output=True, text=True, check=True)
    given_by_the_system_per_run = float(done.stdout)
    assert given_by_the_system_per_run < 4 << 20  # bytes; without `keep_freed_memory` 10 MB and more
