"""The search page and its JSON, over a network and an index."""
