"""Turning next-word scores into captions; sees only the step protocol."""
