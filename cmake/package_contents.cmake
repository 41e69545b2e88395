# Read by cpack once for each kind of package: the tarball also holds the libraries that a bare system lacks.
if(CPACK_GENERATOR STREQUAL "TGZ")
  list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 build_folder)
  list(APPEND CPACK_INSTALL_CMAKE_PROJECTS ${build_folder} fovea bundled /)
endif()
