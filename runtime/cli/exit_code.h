// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_EXIT_CODE_H_
#define AMO_RUNTIME_CLI_EXIT_CODE_H_

// The exit codes of every command; docs/cli.md tells users. Of several failures the largest counts.
namespace amo::runtime::cli {

inline constexpr int kOk = 0;
inline constexpr int kProgramErrors = 1;  // the program has errors; `fmt --check`: a file would change
inline constexpr int kUsage = 2;          // wrong use of the command line
inline constexpr int kFiles = 3;          // a file or stream cannot be read or written
inline constexpr int kInternal = 4;       // our bug
inline constexpr int kStopped = 5;        // training was asked to stop; its checkpoint stays
inline constexpr int kDiverged = 6;       // training met a loss that is not finite

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_EXIT_CODE_H_
