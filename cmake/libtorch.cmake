# libtorch: the wheel in .venv, or what TWOFOUR_TORCH_DIR names (a folder with include/ and lib/). Its own
# CMake package is not used: for a wheel with CUDA it demands the whole CUDA toolkit.
set(TWOFOUR_TORCH_DIR "$ENV{TWOFOUR_TORCH_DIR}" CACHE PATH "libtorch to use instead of .venv's")
set(torch_dir "${TWOFOUR_TORCH_DIR}")
if(NOT torch_dir)
  file(GLOB torch_dir "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
endif()
if(NOT EXISTS "${torch_dir}/lib/libtorch_cpu.so" OR NOT EXISTS "${torch_dir}/include/ATen")
  message(FATAL_ERROR "libtorch was not found in \"${torch_dir}\": run scripts/setup, or set "
                      "TWOFOUR_TORCH_DIR to a folder with its include/ and lib/")
endif()

# ATen's headers one operator at a time: seconds a file instead of a minute.
add_library(twofour_torch INTERFACE)
target_include_directories(twofour_torch SYSTEM INTERFACE
                           "${torch_dir}/include" "${torch_dir}/include/torch/csrc/api/include")
target_compile_definitions(twofour_torch INTERFACE AT_PER_OPERATOR_HEADERS
                                                   TORCH_ASSERT_ONLY_METHOD_OPERATORS)
# The libraries find what they need beside themselves (CUDA's in a wheel of its own), the linker does not.
target_link_libraries(twofour_torch INTERFACE twofour_log "${torch_dir}/lib/libtorch.so"
                      "${torch_dir}/lib/libtorch_cpu.so" "${torch_dir}/lib/libc10.so"
                      -Wl,--allow-shlib-undefined)

# The OpenMP runtime, whose thread pool base/parallel shares with ATen: the very file that libtorch
# loads, or two pools would fight for the cores.
find_library(TWOFOUR_OPENMP NAMES gomp libgomp.so.1 PATHS "${torch_dir}/lib" NO_DEFAULT_PATH)
if(NOT TWOFOUR_OPENMP)
  file(GLOB TWOFOUR_OPENMP "${torch_dir}/lib/libgomp*.so*")
endif()
