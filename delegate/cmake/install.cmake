# `cmake --install`: the external delegate, the static libraries, the headers that C++ users need,
# and the package for find_package(tf_signbin).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(TF_SIGNBIN_HEADERS ${CMAKE_INSTALL_INCLUDEDIR}/tf_signbin)
set(TF_SIGNBIN_PACKAGE ${CMAKE_INSTALL_LIBDIR}/cmake/tf_signbin)

# Users link tf_signbin::tflite, tf_signbin::engine or tf_signbin::delegate; LiteRT loads
# tf_signbin::accelerator.
foreach(name IN ITEMS engine tflite delegate accelerator)
  set_target_properties(tf_signbin_${name} PROPERTIES EXPORT_NAME ${name})
  add_library(tf_signbin::${name} ALIAS tf_signbin_${name})
endforeach()
install(TARGETS tf_signbin_engine tf_signbin_tflite tf_signbin_delegate
        tf_signbin_accelerator EXPORT tf_signbin
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${TF_SIGNBIN_HEADERS})
install(EXPORT tf_signbin NAMESPACE tf_signbin:: DESTINATION ${TF_SIGNBIN_PACKAGE}
        FILE tf_signbinTargets.cmake)

# engine/conv.h and what it includes; tflite/register.h and litert/accelerator.h
# include nothing.
install(FILES engine/conv.h engine/kernel.h engine/plan_options.h engine/target.h
              engine/thread_pool.h engine/types.h
        DESTINATION ${TF_SIGNBIN_HEADERS}/engine)
install(FILES engine/kernels/registry.bzl DESTINATION ${TF_SIGNBIN_HEADERS}/engine/kernels)
install(FILES tflite/register.h DESTINATION ${TF_SIGNBIN_HEADERS}/tflite)
install(FILES litert/accelerator.h DESTINATION ${TF_SIGNBIN_HEADERS}/litert)

configure_package_config_file(cmake/tf_signbinConfig.cmake.in tf_signbinConfig.cmake
                              INSTALL_DESTINATION ${TF_SIGNBIN_PACKAGE})
# Before 1.0 a minor version may change the interfaces.
write_basic_package_version_file(tf_signbinConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tf_signbinConfig.cmake
              ${PROJECT_BINARY_DIR}/tf_signbinConfigVersion.cmake
        DESTINATION ${TF_SIGNBIN_PACKAGE})
