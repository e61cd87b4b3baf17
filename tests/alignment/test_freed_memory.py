from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Prints how many pages of memory a pass that is not the first one has to be given, and how many one activation takes.
PASSES = """
import resource
import torch
from torch import nn
from gradcon_ext import per_sample_alignment

model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 3, 3, padding=1))
references = {"0.weight": torch.ones(32, 3, 3, 3)}
images = torch.rand(64, 3, 28, 28)

def align():
    per_sample_alignment(model, lambda output, x: (output - x).square().flatten(1).mean(1), images, references)

for _ in range(3):
    align()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
align()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, 64 * 32 * 28 * 28 * 4 // resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide by themselves what they keep")
def test_a_pass_finds_the_memory_that_the_one_before_freed() -> None:
    done = subprocess.run([sys.executable, "-c", PASSES], capture_output=True, text=True, check=True)
    given, one_activation = map(int, done.stdout.split())
    assert given < one_activation
