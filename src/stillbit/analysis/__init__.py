"""What is measured: each file computes one frozen record. ``plot`` alone draws, ``report`` alone makes pages."""
