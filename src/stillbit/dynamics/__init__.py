"""What watches or steers low-bit weights while they train: everything here reads their codes."""
