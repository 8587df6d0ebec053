"""Runs programs without torch's layers: an independent second implementation, so that agreement proves something."""
