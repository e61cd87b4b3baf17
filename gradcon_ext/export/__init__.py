"""A detector's scores in formats that others run: ONNX graphs, and programs of torch.export."""
