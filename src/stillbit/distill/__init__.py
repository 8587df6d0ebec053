"""What a teacher knows: soft labels, stored once for many crops or asked for while training, and how to learn them."""
