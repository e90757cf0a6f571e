"""Checks what `sam build` made: for every function a program for arm64 named bootstrap, whose zip is small enough.

Arguments: the build folder, the functions' folders. A resource has the name of its function, whose first letter is a
capital, and Function behind it or not.
"""

import io
import sys
import zipfile
from pathlib import Path

# The goal of the zip that is deployed: what is larger takes longer to start.
ZIP_MAX = 4_000_000
# e_machine of an ELF file, two bytes at 18. https://gabi.xinuos.com/elf/a-emachine.html, read 2026-11-22.
AARCH64 = 183


def main() -> int:
    build, *folders = (Path(argument) for argument in sys.argv[1:])
    wrong = 0
    for name in sorted(folder.name for folder in folders):
        fault, size = check(build, name)
        print(f"{name:<10}{size / 1e6:>8.2f} MB  {fault or 'ok'}")
        wrong += fault is not None
    return 1 if wrong else 0


def check(build: Path, name: str) -> tuple[str | None, int]:
    """What is wrong with a function's artifact, and how large its zip is."""
    named = [folder for folder in build.iterdir() if folder.name.removesuffix("Function").lower() == name]
    if len(named) != 1:
        return f"{len(named)} resources of this name were built", 0
    files = [file for file in named[0].rglob("*") if file.is_file()]
    if [file.name for file in files] != ["bootstrap"]:
        return f"not the one file bootstrap: {', '.join(file.name for file in files)}", 0
    program = files[0].read_bytes()
    if program[:4] != b"\x7fELF" or int.from_bytes(program[18:20], "little") != AARCH64:
        return "no program for arm64", 0
    if not files[0].stat().st_mode & 0o111:
        return "not executable", 0
    packed = io.BytesIO()
    # With the compression that SAM packs with.
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bootstrap", program)
    size = len(packed.getvalue())
    return (f"larger than {ZIP_MAX / 1e6:.0f} MB" if size > ZIP_MAX else None), size


if __name__ == "__main__":
    sys.exit(main())
