"""Scripted agents that behave as badly as real ones: `buckstop demo` runs them."""
