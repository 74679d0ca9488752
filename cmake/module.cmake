# twofour_module(NAME [TORCH] [SEPARATE] SOURCES a.cc… [TESTS a_test.cc…] [LINK libraries…])
#
# Makes a folder of src/twofour the library twofour_NAME, and its tests one program NAME_test that
# ctest runs test by test. TORCH links libtorch. SEPARATE compiles its sources one by one even with
# TWOFOUR_UNITY.
function(twofour_module name)
  cmake_parse_arguments(arg "TORCH;SEPARATE" "" "SOURCES;TESTS;LINK" ${ARGN})
  set(library twofour_${name})
  add_library(${library} STATIC ${arg_SOURCES})
  target_include_directories(${library} PUBLIC "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(${library} PUBLIC ${arg_LINK})
  if(arg_TORCH)
    target_link_libraries(${library} PUBLIC twofour_torch)
  endif()
  if(TWOFOUR_UNITY AND NOT arg_SEPARATE)
    set_target_properties(${library} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
  if(TWOFOUR_TESTS AND arg_TESTS)
    add_executable(${name}_test ${arg_TESTS})
    target_include_directories(${name}_test PRIVATE "${PROJECT_SOURCE_DIR}/tests")
    target_link_libraries(${name}_test PRIVATE ${library} twofour_testing twofour_thread_waiting
                                                GTest::gtest_main)
    if(TWOFOUR_UNITY)
      set_target_properties(${name}_test PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    endif()
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST PROPERTIES
                         LABELS ${name} TIMEOUT 300 ENVIRONMENT TWOFOUR_TUNE=off)
  endif()
endfunction()
