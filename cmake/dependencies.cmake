# Everything that the project builds on. scripts/setup installs all of it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(simdjson REQUIRED)
# Unicode 14 or later: src/twofour/text/unicode_data.h corrects later changes.
pkg_check_modules(onig REQUIRED IMPORTED_TARGET oniguruma>=6.9.8)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
if(TWOFOUR_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
if(TWOFOUR_TORCH)
  find_package(CLI11 REQUIRED)
  pkg_check_modules(zip REQUIRED IMPORTED_TARGET libzip)
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

# The OpenMP runtime, whose thread pool base/parallel uses: libtorch's where there is one.
if(TWOFOUR_TORCH)
  include(libtorch)
endif()
if(NOT TWOFOUR_OPENMP)
  set(TWOFOUR_OPENMP gomp)
endif()
