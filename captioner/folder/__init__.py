"""A list of pictures -> captions in a file: resumable, shared by processes, the same whatever happens."""
