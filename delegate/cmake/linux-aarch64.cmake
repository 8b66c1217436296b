# Cross build for 64-bit Linux on Arm (Raspberry Pi 3 and later) with Debian's compiler:
#   apt-get install g++-aarch64-linux-gnu qemu-user
#   cmake -S delegate -B build/aarch64 --toolchain delegate/cmake/linux-aarch64.cmake
# Tests run in emulation: QEMU_CPU picks the core, QEMU_LD_PREFIX the root folder (qemu's own
# environment variables).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
