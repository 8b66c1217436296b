#!/bin/sh
# The Python tests that run models, on a delegate that was built with a sanitizer:
#   tools/sanitized_pytest.sh asan|ubsan|tsan BUILD_FOLDER [pytest arguments]
# Python is not instrumented, so the sanitizer's runtime is preloaded. Leaks of Python itself are
# many and not ours: only reports that name the delegate count.
set -eu
cd "$(dirname "$0")/.."
sanitizer=$1 build=$2
shift 2
library=$build/libtf_signbin_delegate.so
[ -e "$library" ] || { echo "$library is missing: make $sanitizer-build" >&2; exit 1; }
logs=$build/python-logs
rm -rf "$logs"
mkdir -p "$logs"
case $sanitizer in
  asan) runtime=$(clang -print-file-name=libclang_rt.asan-x86_64.so) ;;
  ubsan) runtime=$(gcc -print-file-name=libubsan.so) ;;
  tsan) runtime=$(gcc -print-file-name=libtsan.so) ;;
  *) echo "usage: $0 asan|ubsan|tsan BUILD_FOLDER [pytest arguments]" >&2; exit 2 ;;
esac
# The quarantine keeps freed memory, which the test of growing memory would count.
export ASAN_OPTIONS="log_path=$PWD/$logs/log:detect_leaks=1:quarantine_size_mb=1:thread_local_quarantine_size_kb=16"
export LSAN_OPTIONS="exitcode=0:report_objects=0"
export UBSAN_OPTIONS="log_path=$PWD/$logs/log:print_stacktrace=1"
# OpenBLAS, not instrumented either, looks like a race to it.
export TSAN_OPTIONS="log_path=$PWD/$logs/log:exitcode=0" OPENBLAS_NUM_THREADS=1
status=0
# Thread sanitizer's shadow memory needs the address space as it is without randomisation.
LD_PRELOAD=$runtime TF_SIGNBIN_DELEGATE=$PWD/$library setarch -R \
  .venv/bin/python -m pytest -q -p no:cacheprovider -m "not slow" "$@" || status=$?
if grep -l libtf_signbin_delegate "$logs"/log.* >/dev/null 2>&1; then
  echo "$sanitizer: reports that name the delegate:" >&2
  grep -h -B30 -A10 -m1 libtf_signbin_delegate "$logs"/log.* | head -100 >&2
  status=1
fi
exit $status
