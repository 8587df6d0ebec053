"""nn.Modules that hold quantizers, and the product on codes that they share."""
