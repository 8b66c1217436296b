# TF_SIGNBIN_SYSROOT builds against the C and C++ libraries of an older Debian, so that the library
# also loads on systems that are older than the one it is built on. The compiler stays the one of
# the machine; headers and static libraries of C++, and the C library, are the folder's. Included
# before project().
set(TF_SIGNBIN_SYSROOT "" CACHE PATH "Folder with an older Debian's libc6-dev and libstdc++-*-dev")
if(NOT TF_SIGNBIN_SYSROOT)
  return()
endif()
if(NOT IS_DIRECTORY ${TF_SIGNBIN_SYSROOT})
  get_filename_component(name ${TF_SIGNBIN_SYSROOT} NAME)
  message(FATAL_ERROR "${TF_SIGNBIN_SYSROOT} is missing: run tools/sysroot.sh ${name}, or build "
                      "against this machine's C library with -DTF_SIGNBIN_SYSROOT=")
endif()
file(GLOB TF_SIGNBIN_SYSROOT_GCC ${TF_SIGNBIN_SYSROOT}/usr/lib/gcc/*/*)
list(LENGTH TF_SIGNBIN_SYSROOT_GCC count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "TF_SIGNBIN_SYSROOT=${TF_SIGNBIN_SYSROOT} must hold the C++ library of one "
                      "compiler in usr/lib/gcc; there are ${count}")
endif()
set(CMAKE_SYSROOT ${TF_SIGNBIN_SYSROOT})
string(REGEX REPLACE ".*/gcc/([^/]+)/([^/]+)$" "\\1;\\2" triplet_and_version
       ${TF_SIGNBIN_SYSROOT_GCC})
list(GET triplet_and_version 0 triplet)
list(GET triplet_and_version 1 version)
# In the flags, so that CMake's own checks see them too.
set(cxx ${TF_SIGNBIN_SYSROOT}/usr/include/c++/${version})
set(CMAKE_CXX_FLAGS_INIT "-nostdinc++ -isystem ${cxx} \
-isystem ${TF_SIGNBIN_SYSROOT}/usr/include/${triplet}/c++/${version}")
if(version VERSION_LESS 11)
  # There std::function moves by a swap with a new one, whose unset members GCC 12 warns of.
  string(APPEND CMAKE_CXX_FLAGS_INIT " -Wno-maybe-uninitialized")
endif()
# Before the compiler's own folders, whose libraries and start files need a newer C library.
set(libraries ${TF_SIGNBIN_SYSROOT}/usr/lib/${triplet})
# The compiler's shared libgcc would need that library too.
foreach(kind IN ITEMS EXE SHARED)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT
      "-static-libgcc -L${TF_SIGNBIN_SYSROOT_GCC} -L${libraries} -B${libraries}")
endforeach()
