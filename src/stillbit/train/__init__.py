"""One training loop, driven by a task and by hooks. It has never heard of bits."""
