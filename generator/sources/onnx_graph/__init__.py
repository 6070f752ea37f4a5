"""ONNX graphs as JAX functions: an importer of our own. The `onnx` package reads files; nothing else is needed to run them."""
