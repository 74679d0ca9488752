// Inside text/: what compressed files hold, by their content and not by their names.
#pragma once

#include <memory>
#include <string_view>

#include "twofour/text/byte_source.h"

namespace twofour::text {

/// How compressed data begins.
inline constexpr std::string_view kGzipMagic = "\x1f\x8b", kZstdMagic = "\x28\xb5\x2f\xfd";

/// What decompresses `file`: gzip (any number of members) or zstd (any number of frames, windows up
/// to 2 GiB); null for content that is not compressed. `file` must outlive it. Throws Error for
/// other kinds of compressed files and for archives, with the command that unpacks them. As the
/// tools do, reading throws for damage of every kind and warns of what gzip ignores behind its last
/// member.
std::unique_ptr<ByteSource> make_decompressor(FileSource& file);

}  // namespace twofour::text
