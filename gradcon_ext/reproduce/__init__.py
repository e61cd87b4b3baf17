"""The experiments of the paper, run anew and set beside the published figures."""
