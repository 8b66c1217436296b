# Cross build for 32-bit Linux on Arm (Raspberry Pi 2 and later) with Debian's compiler:
#   apt-get install g++-arm-linux-gnueabihf qemu-user
#   cmake -S delegate -B build/armv7 --toolchain delegate/cmake/linux-armv7.cmake
# Tests run in emulation: QEMU_CPU picks the core, QEMU_LD_PREFIX the root folder (qemu's own
# environment variables).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_CXX_COMPILER arm-linux-gnueabihf-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm)
