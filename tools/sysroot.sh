#!/bin/sh
# Debian 11's C and C++ libraries to build against, so that the delegate loads on systems with
# glibc 2.31 or newer, whatever the machine has that builds it; the presets linux-* use them:
#   sudo apt-get install mmdebstrap
#   tools/sysroot.sh aarch64        # or x86_64, armv7; prints the folder, in .cache/sysroot
# GoogleTest is for the C++ tests. DEBIAN_MIRROR names another mirror.
set -eu
cd "$(dirname "$0")/.."
case "${1:-}" in
  x86_64) debian=amd64 ;;
  aarch64) debian=arm64 ;;
  armv7) debian=armhf ;;
  *) echo "usage: $0 x86_64|aarch64|armv7" >&2; exit 2 ;;
esac
folder=$PWD/.cache/sysroot/$1
packages=libc6-dev,libstdc++-10-dev,linux-libc-dev,libgtest-dev,libgmock-dev
if [ "$(cat "$folder.ready" 2>/dev/null)" != "$packages" ]; then
  command -v mmdebstrap >/dev/null 2>&1 || {
    echo "sysroot: mmdebstrap is missing: sudo apt-get install mmdebstrap" >&2; exit 1; }
  rm -rf "$folder"
  mkdir -p "$folder"
  mmdebstrap --quiet --variant=extract "--architectures=$debian" \
    "--include=$packages" bullseye "$folder" \
    "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >&2
  # Links with absolute targets would lead to the machine's own libraries.
  find "$folder" -type l -lname '/*' | while read -r link; do
    ln -sfn "$(realpath -ms --relative-to="$(dirname "$link")" "$folder$(readlink "$link")")" "$link"
  done
  echo "$packages" >"$folder.ready"
fi
echo "$folder"
