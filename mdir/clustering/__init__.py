"""Pseudo labels of features: neighbour graphs and their clusters."""
