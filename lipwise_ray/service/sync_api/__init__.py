"""The contract that programs speak already: sync.so's API, version 2."""
