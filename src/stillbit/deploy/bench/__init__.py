"""What a deployed model costs beside the float one, in turns."""
