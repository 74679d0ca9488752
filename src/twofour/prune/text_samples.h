// Inside prune/: calibration data from text. One pass reads all documents and encodes only those
// that may be drawn.
#pragma once

#include <cstdint>
#include <vector>

#include "twofour/prune/calibration.h"
#include "twofour/text/tokenizer.h"

namespace twofour::prune {

/// Purposes of random numbers: RandomStream::micro_batch.
enum CalibrationNumbers : uint32_t { kWindowOrder, kPartKeys, kDocumentKeys, kWindowStarts };

/// The stream of Sampling::kStream: at least `enough` ids if the texts have as many. options.files
/// are texts.
std::vector<int64_t> ids_of_random_documents(const CalibrationOptions& options,
                                             const text::Tokenizer& tokenizer, int64_t enough);

/// The samples of Sampling::kSparseGpt, one after another: [samples · context].
std::vector<int64_t> windows_of_random_documents(const CalibrationOptions& options,
                                                 const text::Tokenizer& tokenizer);

}  // namespace twofour::prune
