"""Pictures and captions on disk, on their way to tensors."""
