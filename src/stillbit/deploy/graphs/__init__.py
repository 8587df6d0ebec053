"""Programs as graphs that other runtimes read: ONNX, and what OpenVINO makes of it."""
