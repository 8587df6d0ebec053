"""Whether deployment computes what training simulated: code by code, layer by layer."""
