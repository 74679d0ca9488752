// Folders that a command writes, and the caution before one replaces an older one.
#pragma once

#include <filesystem>
#include <string>

namespace twofour::cli {

/// The folder that holds `out`, which may end in a slash.
std::filesystem::path folder_of(const std::filesystem::path& out);

/// Throws Error (usage) if `out`, the value of `option`, is empty or lies in the folder of the
/// model at `in`: the model would no longer be what it was. Beside the model in the folder of its
/// run is fine.
void check_outside_model(const std::string& option, const std::filesystem::path& out,
                         const std::filesystem::path& in);

/// The same for the folder `out` of a run, which may not be the model's folder either.
void check_run_folder(const std::filesystem::path& out, const std::filesystem::path& in);

/// For a tokenizer's folder: throws Error (usage) if `out` is empty, a file, or holds anything but
/// a tokenizer's files, because all that it holds is replaced.
void check_tokenizer_folder(const std::filesystem::path& out);

/// Replacing a folder deletes its content, so it may only hold a model and files that are copied
/// again from `in`, the model or tokenizer from which the new one is made. Throws Error with the
/// first other file, or if it holds no model; an empty folder is fine.
void check_replaceable(const std::filesystem::path& folder, const std::filesystem::path& in);

/// For --out and --force of a command that makes a model folder from the one at `in`: throws Error
/// (usage) unless `out` lies outside the model and does not exist or may be replaced. Removes what
/// killed processes left beside it.
void check_output_folder(const std::filesystem::path& out, const std::filesystem::path& in,
                         bool force);

}  // namespace twofour::cli
