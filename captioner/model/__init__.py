"""Networks: encoder, decoders, and the one place that builds them. Knows torch, not data, text or vocabulary."""
