// Inside text/: decompression of files, recognised by content, not by name.
#pragma once

#include <memory>
#include <string_view>

#include "twofour/text/byte_source.h"

namespace twofour::text {

/// The first bytes of compressed data.
inline constexpr std::string_view kGzipMagic = "\x1f\x8b", kZstdMagic = "\x28\xb5\x2f\xfd";

/// Decompresses `file`: gzip (any number of members) or zstd (any number of frames, windows up to 2
/// GiB). Null if the content is not compressed. `file` must outlive it. Throws Error for other
/// compression and for archives, with the command that unpacks them. Like the tools, reading throws
/// for all damage and warns of bytes that gzip ignores after its last member.
std::unique_ptr<ByteSource> make_decompressor(FileSource& file);

}  // namespace twofour::text
