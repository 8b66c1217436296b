#!/bin/sh
# Prepares what `make demo` and `make test` need: Debian packages, .venv, Python packages, delegate.
# Safe to call again: what is there is kept, and a second call takes a second.
#
#   PYTHON=python3.12 tools/setup.sh    picks the interpreter (3.10 to 3.13)
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/.tf_signbin_setup

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

has_header() { printf '#include <%s>\n' "$1" | c++ -std=c++17 -x c++ -E - >/dev/null 2>&1; }

# True for an interpreter of a supported version that can make virtual environments with pip.
usable_python() {
  command -v "$1" >/dev/null 2>&1 && "$1" - >/dev/null 2>&1 <<'EOF'
import sys
assert (3, 10) <= sys.version_info[:2] <= (3, 13)
import ensurepip, venv
EOF
}

find_python() {
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.10 python3 \
    /usr/bin/python3; do
    if usable_python "$candidate"; then
      echo "$candidate"
      return
    fi
  done
}

# Debian packages whose content is not there yet.
missing_packages() {
  command -v c++ >/dev/null 2>&1 || echo g++
  command -v cmake >/dev/null 2>&1 || echo cmake
  command -v ninja >/dev/null 2>&1 || echo ninja-build
  has_header hwy/highway.h || echo libhwy-dev
  has_header gtest/gtest.h || echo libgtest-dev
  if [ ! -x $VENV/bin/python ] && [ -z "$(find_python)" ]; then echo python3 python3-venv; fi
}

install_packages() {
  packages=$(missing_packages | sort -u | tr '\n' ' ')
  [ -n "$packages" ] || return 0
  hint="install these Debian packages (or what your system calls them) and run again: $packages
  sudo apt-get update && sudo apt-get install -y $packages"
  command -v apt-get >/dev/null 2>&1 || die "$hint"
  if [ "$(id -u)" = 0 ]; then
    root=
  elif sudo -n true 2>/dev/null; then
    root=sudo
  else
    die "not root and no password-less sudo: $hint"
  fi
  say "Installing Debian packages: $packages"
  $root apt-get update -qq || die "apt-get update failed; $hint"
  # shellcheck disable=SC2086  # a list of words
  $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $packages >/dev/null || die "apt-get install failed; $hint"
  packages=$(missing_packages | sort -u | tr '\n' ' ')
  [ -z "$packages" ] || die "still missing after installation: $packages"
}

make_venv() {
  [ -x $VENV/bin/python ] && $VENV/bin/python -c 'import pip' 2>/dev/null && return 0
  python=$(find_python)
  say "Creating $VENV with $("$python" --version)"
  "$python" -m venv --clear $VENV
}

# Everything that decides which Python packages are installed.
fingerprint() {
  cat pyproject.toml setup.py tools/setup.sh | cksum
  $VENV/bin/python --version
}

install_python_packages() {
  [ -f $STAMP ] && [ "$(cat $STAMP)" = "$(fingerprint)" ] && return 0
  pip="$VENV/bin/python -m pip install --quiet --disable-pip-version-check"
  say "Installing Python packages (several hundred MB the first time)"
  if [ "$(uname -m)" = x86_64 ]; then
    # tf_keras asks for `tensorflow`, whose x86 wheel is twice the size for its GPU code. The same
    # release without it is `tensorflow-cpu`; the requirements of both are then listed here.
    $pip "tensorflow-cpu>=2.21,<2.22" "absl-py<2" dm-tree mock scipy six "scikit-learn<2" \
      "tensorboard>=2.16,<3"
    $pip --no-deps "tf-keras>=2.21,<2.22" "tensorflow-model-optimization>=0.8.1,<0.9"
    $pip -e ".[runtime,cli,dev]"
  else
    $pip -e ".[train,dev]"
  fi
  fingerprint >$STAMP
}

install_packages
make_venv
export TF_SIGNBIN_BUILD_DIR=build/dev
install_python_packages
# CMake builds only what changed.
$VENV/bin/python setup.py --quiet build_ext --inplace
