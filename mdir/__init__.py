"""Scenario engine and toolkit for image retrieval across domains."""

__version__ = "1.0.0"
