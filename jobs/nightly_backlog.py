"""The night as a script, for schedulers that start Python: arguments and exit codes are `lipwise-ray backlog run`'s.

``python jobs/nightly_backlog.py s3://my-bucket/backlog --until 06:00``
"""

from __future__ import annotations

import sys
from pathlib import Path

from lipwise_ray.__main__ import main

if __name__ == "__main__":
    sys.argv[1:1] = ["backlog", "run", "--job", str(Path(__file__).with_name("nightly.toml"))]
    main()
