"""A program as one file: codes at their true width, checked before it is trusted."""
