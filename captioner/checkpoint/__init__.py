"""A model in one directory: writing it, reading it, and what it says of itself."""
