"""Benchmarks: `pytest benchmarks`. One file a question."""
