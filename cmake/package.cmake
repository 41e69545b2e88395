# What `cpack` makes of the installation: a Debian package that takes its libraries from the system, and a tarball that brings them along.
set(CPACK_PACKAGE_NAME fovea)
set(CPACK_PACKAGE_VENDOR "The authors of fovea")
set(CPACK_PACKAGE_CONTACT "The authors of fovea")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGE_FILE_NAME fovea-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR TGZ DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/cmake/package_contents.cmake)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR})
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)

# Beside libfovea, in a folder of its own so that it does not come in the way of the system's. What belongs to the compiler and to the C
# library is everywhere, and the system's is the newer one.
install(RUNTIME_DEPENDENCY_SET of_libfovea
  PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|stdc[+][+]|gcc_s)[.]so"
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/fovea COMPONENT bundled EXCLUDE_FROM_ALL)
install(SCRIPT cmake/bundled_licences.cmake COMPONENT bundled EXCLUDE_FROM_ALL)

include(CPack)
