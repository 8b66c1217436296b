# Google Highway: only its headers are used (static dispatch, no library). In a cross build they are
# the build machine's, reached through a link, since its /usr/include must not be searched.
find_path(TF_SIGNBIN_HIGHWAY hwy/highway.h PATHS /usr/include /usr/local/include
          NO_CMAKE_FIND_ROOT_PATH
          DOC "Folder that holds hwy/highway.h")
if(NOT TF_SIGNBIN_HIGHWAY)
  message(FATAL_ERROR "Highway's headers are missing: apt-get install libhwy-dev, or name the "
                      "folder that holds hwy/highway.h with -DTF_SIGNBIN_HIGHWAY=")
endif()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/highway)
file(CREATE_LINK ${TF_SIGNBIN_HIGHWAY}/hwy ${PROJECT_BINARY_DIR}/highway/hwy SYMBOLIC)
include_directories(SYSTEM ${PROJECT_BINARY_DIR}/highway)
