"""Core-milliseconds a face of reading regions of frames and writing them, by each implementation of `Planes`.

    python -m benchmarks.planes [--faces 100 200 400 700 1000] [--heights 720 1080] [--rounds 15] [--device cpu]

Implementations take turns in one run, on one thread; each figure is the least of the rounds. Beside the reading of
upright crops stands `warp`: the same crop by warping to a multiple of its side and averaging that, as turned crops are.
"""
