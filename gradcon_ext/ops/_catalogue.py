"""The only place that names `torch.ops.gradcon_ext`: importing the compiled module registers every op."""

from __future__ import annotations

import importlib

import torch

importlib.import_module("gradcon_ext._compiled")

compiled = torch.ops.gradcon_ext
