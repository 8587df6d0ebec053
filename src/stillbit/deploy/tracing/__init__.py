"""From a model to a program: what its forward pass does, recorded, in as few steps as it takes."""
