// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_TERMINAL_H_
#define AMO_RUNTIME_CLI_TERMINAL_H_

#include <string_view>

// Where text goes: results to standard output, everything about the work to standard error.
namespace amo::runtime::cli {

void Print(std::string_view text);
void PrintError(std::string_view text);

// "amo: MESSAGE" and a line end, on standard error.
void Complain(std::string_view message);

// Writes out what Print was given; kFiles with a complaint when any of it was lost.
int FlushOutput();

// Whether standard error is a terminal that wants colours: no NO_COLOR (no-color.org), no TERM=dumb.
bool ErrorsInColor();

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_TERMINAL_H_
