"""From a trained model to integers: traced as training computes it, packed at its true width, run without it."""
