"""Image transforms of the ``transforms`` text of a data section; one file a family."""
