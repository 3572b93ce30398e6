"""Texts and pictures for people: Markdown reports, bank cards, previews."""
