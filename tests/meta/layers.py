# SPDX-License-Identifier: Apache-2.0
"""Layers: runtime may include compiler and lang, compiler may include lang, never upward; heavy headers are fenced."""
import re

import tree

BELOW = {"lang": ("lang",), "compiler": ("compiler", "lang"), "runtime": ("runtime", "compiler", "lang")}
# Who may include what: (what, files of ours that may, what to say).
FENCES = [
    (r"(antlr4-|antlr4/|lang/Amo(Lexer|Parser)\.h)", r"lang/(parser|syntax)\w*\.(cc|h)",
     "ANTLR belongs to lang/parser* and lang/syntax*"),
    (r"llvm(-c)?/", r"compiler/(.*/)?(codegen|jit|kernel|vector_math|cache|target|export)\w*\.(cc|h)",
     "LLVM belongs to compiler/ codegen*, jit*, kernel*, vector_math*, cache*, target*, export*"),
    (r"(torch|ATen|c10)/", r"runtime/.*", "LibTorch belongs to runtime/"),
]
INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^>"]+)[>"]')


def check(path, text):
    layer = path.split("/")[0]
    if layer not in BELOW or not path.endswith((".cc", ".h", ".def")):
        return []
    faults = []
    for number, line in enumerate(text.split("\n"), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        header = found.group(1)
        if header.split("/")[0] in BELOW and header.split("/")[0] not in BELOW[layer]:
            faults.append((number, "%s must not include %s" % (layer, header)))
        if line.count('"') and "/" not in header:
            faults.append((number, 'write "%s" from the root of the tree' % header))
        for what, where, message in FENCES:
            if re.match(what, header) and not re.fullmatch(where, path):
                faults.append((number, "%s: %s" % (header, message)))
    return faults


tree.main(check, bad=[
    ("lang/a.cc", '#include "compiler/ir.h"\n'),
    ("compiler/a.h", '#include "runtime/model.h"\n'),
    ("lang/a.h", '#  include "b.h"\n'),
    ("lang/format.cc", "#include <antlr4-runtime.h>\n"),
    ("compiler/ir.cc", "#include <llvm/IR/Module.h>\n"),
    ("compiler/jit.cc", "#include <ATen/core/Tensor.h>\n"),
], good=[
    ("runtime/cli/main.cc", '#include "lang/ast.h"\n#include "compiler/ir.h"\n#include <torch/torch.h>\n'),
    ("compiler/codegen_loop.cc", '#include "llvm/IR/Module.h"\n'),
    ("tests/compiler/jit_test.cc", "#include <llvm/IR/Module.h>\n"),
])
