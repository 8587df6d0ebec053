"""Float model in, quantized model out: plans, families of models, start values, files."""
