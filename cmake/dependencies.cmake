# Everything that the project builds on. scripts/setup installs all of it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(simdjson REQUIRED)
# Unicode 14 or later: src/twofour/text/unicode_data.h corrects later changes.
pkg_check_modules(onig REQUIRED IMPORTED_TARGET oniguruma>=6.9.8)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(zip REQUIRED IMPORTED_TARGET libzip)
if(TWOFOUR_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

# libtorch: the wheel in .venv, or TWOFOUR_TORCH_DIR (a folder with include/ and lib/). Its own
# CMake package is not used, because for a wheel with CUDA it demands the whole CUDA toolkit.
set(TWOFOUR_TORCH_DIR "$ENV{TWOFOUR_TORCH_DIR}" CACHE PATH "libtorch to use instead of .venv's")
set(torch_dir "${TWOFOUR_TORCH_DIR}")
if(NOT torch_dir)
  file(GLOB torch_dir "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
endif()
if(NOT EXISTS "${torch_dir}/lib/libtorch_cpu.so" OR NOT EXISTS "${torch_dir}/include/ATen")
  message(FATAL_ERROR "libtorch was not found in \"${torch_dir}\": run scripts/setup, or set "
                      "TWOFOUR_TORCH_DIR to a folder with its include/ and lib/")
endif()

# libtorch ships headers of another fmt than spdlog's. This folder comes first on the include path
# and holds only the system's fmt.
get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
if(NOT fmt_include)
  set(fmt_include /usr/include)
endif()
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/system_include")
file(CREATE_LINK "${fmt_include}/fmt" "${PROJECT_BINARY_DIR}/system_include/fmt" SYMBOLIC)
add_library(twofour_log INTERFACE)
target_include_directories(twofour_log SYSTEM BEFORE INTERFACE
                           "${PROJECT_BINARY_DIR}/system_include")
target_link_libraries(twofour_log INTERFACE spdlog::spdlog fmt::fmt)

# One ATen header an operator compiles in seconds instead of a minute.
add_library(twofour_torch INTERFACE)
target_include_directories(twofour_torch SYSTEM INTERFACE
                           "${torch_dir}/include" "${torch_dir}/include/torch/csrc/api/include")
target_compile_definitions(twofour_torch INTERFACE AT_PER_OPERATOR_HEADERS
                                                   TORCH_ASSERT_ONLY_METHOD_OPERATORS)
# The libraries find their dependencies beside them (CUDA's in its own wheel); the linker does not.
target_link_libraries(twofour_torch INTERFACE twofour_log "${torch_dir}/lib/libtorch.so"
                      "${torch_dir}/lib/libtorch_cpu.so" "${torch_dir}/lib/libc10.so"
                      -Wl,--allow-shlib-undefined)

# The OpenMP runtime, whose thread pool base/parallel shares with ATen. It must be the file that
# libtorch loads, or two pools would compete for the cores.
find_library(TWOFOUR_OPENMP NAMES gomp libgomp.so.1 PATHS "${torch_dir}/lib" NO_DEFAULT_PATH)
if(NOT TWOFOUR_OPENMP)
  file(GLOB TWOFOUR_OPENMP "${torch_dir}/lib/libgomp*.so*")
endif()
if(NOT TWOFOUR_OPENMP)
  set(TWOFOUR_OPENMP gomp)
endif()
