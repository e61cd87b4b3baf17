"""`python -m benchmarks.report`: measures every bar in one run, and writes table, raw medians and charts."""
