#include "twofour/train/events.h"

#include <gtest/gtest.h>

#include "testing.h"

namespace twofour::train {
namespace {

TEST(Crc32c, equals_the_published_check_value) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);  // RFC 3720, appendix B.4's polynomial
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
}

TEST(EventWriter, a_folder_that_cannot_be_written_is_named) {
  EXPECT_THAT_ERROR(EventWriter("/nowhere/at/all", 0), "/nowhere/at/all");
}

}  // namespace
}  // namespace twofour::train
