"""Lays out libtorch: `unpack.py wheels FOLDER OUT` from Python wheels, `unpack.py official URL OUT` from PyTorch's
own archive. Python's standard library only, any Python 3."""

import os
import shutil
import sys
import tempfile
import urllib.request
import zipfile

LIBRARIES = {
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "torch/lib/libtorch_cpu.so",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
}


def place_in_wheel(name):
    """Where a wheel's file goes; None for what the CPU build does not need."""
    if name in LIBRARIES:
        return "lib/" + name.rsplit("/", 1)[1]
    if name.startswith("torch/include/"):
        return name[len("torch/"):]
    return None


def place_in_archive(name):
    """Where a file of the official archive goes: it holds one folder, `libtorch`."""
    return name.partition("/")[2] or None


def extract(archive_path, out, place):
    with zipfile.ZipFile(archive_path) as archive:
        for entry in archive.infolist():
            target = None if entry.is_dir() else place(entry.filename)
            if target is None:
                continue
            path = os.path.join(out, target)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(entry) as source, open(path, "wb") as destination:
                shutil.copyfileobj(source, destination, 1 << 20)


def main():
    source_kind, source, out = sys.argv[1:]
    if source_kind == "wheels":
        for name in sorted(os.listdir(source)):
            extract(os.path.join(source, name), out, place_in_wheel)
    else:
        with tempfile.TemporaryFile() as file:
            with urllib.request.urlopen(source) as response:
                shutil.copyfileobj(response, file, 1 << 20)
            extract(file, out, place_in_archive)


main()
