"""Data sets from the network: what there is, fetching it, unpacking it."""
