"""Steps for one's own photographs: lists of them, and the backbone that describes them."""
