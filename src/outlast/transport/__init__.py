"""How the doors reach a server: requests that may be repeated, streams that resume by offset."""
