"""What is said on a live connection: frames, and the pure halves of who says and hears them."""
