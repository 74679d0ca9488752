#include "twofour/tensor/ranks.h"

namespace twofour::tensor {
namespace {

class SingleRank final : public Ranks {
 public:
  int64_t rank() const override { return 0; }
  int64_t size() const override { return 1; }
  void sum(at::Tensor&) override {}
  void broadcast(at::Tensor&, int64_t) override {}
  std::vector<at::Tensor> gather(const at::Tensor& values) override { return {values}; }
  void barrier() override {}
};

}  // namespace

std::unique_ptr<Ranks> single_rank() { return std::make_unique<SingleRank>(); }

}  // namespace twofour::tensor
