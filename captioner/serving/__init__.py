"""Captioning over HTTP: a page for people, a JSON interface for programs, one model behind both."""
