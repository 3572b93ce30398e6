"""Markdown, bank cards and contact sheets."""
