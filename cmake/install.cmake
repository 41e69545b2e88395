# What `cmake --install` puts where: the program, the library with its modules, the public headers, the shipped texts, a CMake package.
# Everything finds everything else relative to itself, so that the tree may be moved.
include(CMakePackageConfigHelpers)

set_target_properties(libfovea PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  EXPORT_NAME fovea INSTALL_RPATH "$ORIGIN;$ORIGIN/fovea")  # the second holds what a tarball brings along
file(RELATIVE_PATH library_from_program ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set(beside "$ORIGIN/${library_from_program}")
set_target_properties(fovea PROPERTIES INSTALL_RPATH "${beside};${beside}/fovea")

install(TARGETS fovea RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS libfovea EXPORT fovea-targets RUNTIME_DEPENDENCY_SET of_libfovea LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
foreach(module fovea_cuda fovea_cudnn fovea_onednn)
  if(TARGET ${module})
    install(TARGETS ${module} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
endforeach()

foreach(header fovea/fovea.h fovea/base/error.h fovea/base/error_stories.h)
  cmake_path(GET header PARENT_PATH folder)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${folder})
endforeach()
install(DIRECTORY models recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/fovea FILES_MATCHING PATTERN "*.toml")
install(FILES README.md LICENSE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)
configure_package_config_file(cmake/fovea-config.cmake.in ${CMAKE_BINARY_DIR}/generated/fovea-config.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/generated/fovea-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/generated/fovea-config.cmake ${CMAKE_BINARY_DIR}/generated/fovea-config-version.cmake
  DESTINATION ${package_folder})
install(EXPORT fovea-targets NAMESPACE fovea:: DESTINATION ${package_folder})
