# Installs this build, moves the installation, builds examples/train_lenet5 against it and trains on drawn digits: everything is found
# relative to itself, and only public headers are needed.
foreach(variable BUILD SOURCE WORK CXX CXX_FLAGS BUILD_TYPE GENERATOR MAKE_PROGRAM)
  if(NOT DEFINED ${variable})
    message(FATAL_ERROR "-D${variable}=... is missing")
  endif()
endforeach()

function(run output)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK} OUTPUT_VARIABLE said ERROR_VARIABLE error RESULT_VARIABLE code)
  if(code)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "`${command}` ends with ${code}\n${said}${error}")
  endif()
  set(${output} "${said}" PARENT_SCOPE)
endfunction()

function(expect text pattern)
  if(NOT text MATCHES "${pattern}")
    message(FATAL_ERROR "`${pattern}` is not in\n${text}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
run(ignored ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
file(RENAME ${WORK}/first ${WORK}/moved)

file(GLOB_RECURSE headers RELATIVE ${WORK}/moved/include ${WORK}/moved/include/*)
if(NOT headers STREQUAL "fovea/base/error.h;fovea/base/error_stories.h;fovea/fovea.h")
  message(FATAL_ERROR "other headers than the public ones are installed: ${headers}")
endif()

set(program ${WORK}/moved/bin/fovea)
run(models ${program} models)
expect("${models}" "lenet5 +28x28x1")
run(plan ${program} plan lenet5_digits)  # a recipe by its name
expect("${plan}" "training of lenet5, batch 64")

foreach(file main.cpp CMakeLists.txt)
  file(READ ${SOURCE}/examples/train_lenet5/${file} text)
  file(READ ${SOURCE}/docs/library.md page)
  string(FIND "${page}" "${text}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "docs/library.md does not show examples/train_lenet5/${file} as it is")
  endif()
endforeach()
run(ignored ${CMAKE_COMMAND} -S ${SOURCE}/examples/train_lenet5 -B ${WORK}/build -G ${GENERATOR} -DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}
  -DCMAKE_PREFIX_PATH=${WORK}/moved
  -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_CXX_FLAGS=${CXX_FLAGS} -DCMAKE_BUILD_TYPE=${BUILD_TYPE})
run(ignored ${CMAKE_COMMAND} --build ${WORK}/build)
# Through a link, as where /lib leads to /usr/lib.
file(CREATE_LINK ${WORK}/moved/lib ${WORK}/link SYMBOLIC)
run(trained ${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${WORK}/link ${WORK}/build/train_lenet5)
expect("${trained}" "test accuracy [0-9.]+ %")
string(REGEX REPLACE ".*test accuracy ([0-9]+)[.].*" "\\1" accuracy "${trained}")
if(accuracy LESS 90)  # chance is 10 %
  message(FATAL_ERROR "LeNet-5 has learnt too little of the digits:\n${trained}")
endif()
expect("${trained}" "a black image looks like [0-9]")
message("${trained}")
file(REMOVE_RECURSE ${WORK})
