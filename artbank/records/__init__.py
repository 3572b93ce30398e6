"""The rows on disk."""
