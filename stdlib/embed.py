#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a C++ source that holds .amo files as raw string literals: embed.py OUT FILE…"""
import os
import sys

with open(sys.argv[1], "w", encoding="utf-8") as out:
    out.write('#include "stdlib/stdlib.h"\n\nnamespace amo::standard_library {\nnamespace {\nconstexpr Text kTexts[] = {\n')
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as text:
            out.write('{"%s", R"amo_text(%s)amo_text"},\n' % (os.path.basename(path), text.read()))
    out.write("};\n}  // namespace\nTexts All() { return {kTexts, sizeof(kTexts) / sizeof(kTexts[0])}; }\n}  // namespace amo::standard_library\n")
