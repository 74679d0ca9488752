# Flags of every target. They name no instruction set, so the program starts on any x86-64. Files of
# one instruction set have their own flag (see kernels/CMakeLists.txt).
find_program(TWOFOUR_CCACHE ccache)
if(TWOFOUR_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${TWOFOUR_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${TWOFOUR_CCACHE}")
endif()

# The static libraries also end up in libtwofour_ops.so.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-fno-semantic-interposition>)

set(CMAKE_CXX_FLAGS_RELEASE "-O2")  # assertions stay on, since no profile shows their cost
add_compile_options(
  "$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-fno-math-errno;-ffp-contract=off>")
if(TWOFOUR_SANITIZE)
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${TWOFOUR_SANITIZE};-fno-omit-frame-pointer;-g1>")
  add_link_options(-fsanitize=${TWOFOUR_SANITIZE})
endif()
if(TWOFOUR_FUZZ)  # coverage for libFuzzer; UBSan's findings crash the program
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=fuzzer-no-link;-fno-sanitize-recover=undefined>")
endif()
