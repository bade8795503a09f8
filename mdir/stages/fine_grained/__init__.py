"""Steps of fine-grained retrieval: its data and its viewer."""
