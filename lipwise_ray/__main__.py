"""`python -m lipwise_ray` is the `lipwise-ray` command."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the working directory: what lies beside the footage is no module

from lipwise_ray.cli.app import main

main()
