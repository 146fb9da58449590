"""Storage: addresses, object stores, and the local cache of what came from them."""
