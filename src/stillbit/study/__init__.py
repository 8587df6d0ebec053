"""Many runs as one question: which cells there are, who computes them, and what they say together."""
