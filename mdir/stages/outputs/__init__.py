"""Where inference puts its results."""
