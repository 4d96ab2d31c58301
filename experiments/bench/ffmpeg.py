"""FFmpeg for torchcodec where the machine has none: the libraries that PyAV ships, under their usual names."""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import av

from experiments.provenance import package_version
from vt_env.media.backends import is_installed

_GIVEN = "VT_ENV_BENCH_FFMPEG"
"""Set in the child that was given PyAV's libraries, so that it does not start another."""


def give_torchcodec_ffmpeg(module: str) -> None:
    """Run this command again where the loader finds PyAV's FFmpeg, and exit, if torchcodec needs that to load.

    Args:
        module: The command's own module.
    """
    if is_installed("torchcodec") or not package_version("torchcodec") or _GIVEN in os.environ:
        return
    with TemporaryDirectory() as folder:
        for library in (Path(av.__file__).parent.parent / "av.libs").glob("lib*.so.*"):
            # libavcodec-5e6b81c2.so.62.28.102 is known to other libraries as libavcodec.so.62.
            name = re.match(r"(lib(?:av|sw)\w+)-\w+(\.so\.\d+)", library.name)
            if name:
                (Path(folder) / (name[1] + name[2])).symlink_to(library)
        environment = {**os.environ, "LD_LIBRARY_PATH": folder, _GIVEN: "1"}
        done = subprocess.run([sys.executable, "-m", module, *sys.argv[1:]], env=environment, check=False)
    sys.exit(done.returncode)
