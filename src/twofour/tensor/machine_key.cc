#include "twofour/tensor/machine_key.h"

#include <cstdlib>
#include <fstream>

#include <fmt/format.h>

#include <torch/headeronly/version.h>

#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"

namespace twofour::tensor {
namespace {

// Increase it when kernels become faster, because it invalidates earlier choices.
constexpr int kKernelRevision = 8;

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string family, line;
  while (std::getline(file, line) && !line.empty()) {
    for (const char* field : {"model name", "cpu family", "model\t", "stepping"}) {
      if (line.starts_with(field)) family += line.substr(line.find(':') + 1);
    }
  }
  return family.empty() ? "unknown CPU" : family.substr(1);
}

// Variables that the libraries also read only once.
std::string library_settings() {
  std::string settings;
  for (const char* name :
       {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE",
        "DNNL_DEFAULT_FPMATH_MODE", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR"}) {
    const char* value = std::getenv(name);
    if (value && *value) settings += fmt::format(", {}={}", name, value);
  }
  return settings;
}

}  // namespace

std::string machine_key() {
  static const std::string kCpu = cpu_name(), kSettings = library_settings();
  return fmt::format("{}, {}, kernels {}, libtorch {}, {} threads{}", kCpu,
                     kernels::name_of(kernels::instruction_set()), kKernelRevision, TORCH_VERSION,
                     thread_count(), kSettings);
}

}  // namespace twofour::tensor
