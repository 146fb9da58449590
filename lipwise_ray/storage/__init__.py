"""Where bytes lie: addresses, object stores, http, and the local cache of what came from them."""
