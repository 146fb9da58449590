"""The `lipwise-ray` command, and `python -m lipwise_ray`."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working directory, before anything is looked for there: what lies by the footage is no module


def main() -> None:
    """Run the command. A program that cannot even be loaded must not end as one whose rows failed."""
    try:
        from lipwise_ray.cli.app import main as run  # noqa: PLC0415  # see above
    except Exception:  # noqa: BLE001  # whatever is wrong with what is installed
        import traceback  # noqa: PLC0415  # only then

        from lipwise_ray.exit_codes import ExitCode  # noqa: PLC0415  # the same

        traceback.print_exc()
        sys.exit(ExitCode.CRASHED)
    run()


if __name__ == "__main__":
    main()
