"""`python -m lipwise_ray` is the `lipwise-ray` command."""

from lipwise_ray.cli.app import main

main()
