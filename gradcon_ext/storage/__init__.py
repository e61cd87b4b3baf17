"""Files of tensors and facts, files that appear whole, and folders with one writer."""
