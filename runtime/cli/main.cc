// SPDX-License-Identifier: Apache-2.0
// The program `amo`.
#include "runtime/cli/command.h"
#include "runtime/cli/process.h"

int main(int argc, char** argv) { return amo::runtime::cli::RunProcess(argc, argv, amo::runtime::cli::RunMain); }
