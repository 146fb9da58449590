"""The `lipwise-ray` command, and `python -m lipwise_ray`."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working directory, before anything is looked for there: what lies by the footage is no module


def _stop(number: int, frame: FrameType | None) -> None:
    """End in order, with nothing begun: what runs something hears signals itself from its beginning on."""
    del number, frame
    from lipwise_ray.exit_codes import ExitCode  # nothing is loaded before signals are heard

    with suppress(OSError):  # a closed stream
        os.write(2, b"stopped\n")
    raise SystemExit(ExitCode.STOPPED)


def main() -> None:
    """Run the command. A program that cannot even be loaded must not end as one whose rows failed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and shells in the background have it
            signal.signal(number, _stop)
    try:
        from lipwise_ray.cli.app import main as run
    except Exception:  # noqa: BLE001  # whatever is wrong with what is installed
        import traceback

        from lipwise_ray.exit_codes import ExitCode

        traceback.print_exc()
        sys.exit(ExitCode.CRASHED)
    run()


if __name__ == "__main__":
    main()
