#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that the parser rules of a .g4 file give every token string one tree: converts them to a Bison grammar
('?', '*' and '+' expanded) and lets Bison look for LR(1) and LALR(1) conflicts.

usage: grammar_proof.py Amo.g4 [--start RULE]... [--explain] [--print]
Exit status 0: no conflict. ANTLR itself never tells: it resolves ambiguities silently.
"""
import argparse
import re
import subprocess
import sys
import tempfile


def tokenize(text):
    text = re.sub(r"//[^\n]*", "", text.replace("'//'", "'\\/\\/'"))
    return re.findall(r"'(?:\\.|[^'\\])*'|[A-Za-z_]\w*|[|()?*+:;]|\[(?:\\.|[^\]\\])*\]", text)


def parser_rules(tokens):
    """Rule name → the tokens of its body; parser rules start with a lower-case letter."""
    rules, i = {}, 0
    while i < len(tokens):
        if re.match(r"[a-z]\w*$", tokens[i]) and tokens[i + 1:i + 2] == [":"]:
            end = tokens.index(";", i)
            rules[tokens[i]] = tokens[i + 2:end]
            i = end
        i += 1
    return rules


class Converter:
    def __init__(self, rules):
        self.out, self.terminals, self.literals, self.count = {}, set(), {}, 0
        for name, body in rules.items():
            self.out[name] = self.alternatives(body, 0)[0]

    def symbol(self, token):
        if token == "EOF":
            return []
        if token[0] == "'":
            token = self.literals.setdefault(token, "L%d" % len(self.literals))
        if token[0].isupper():
            self.terminals.add(token)
        return [token]

    def alternatives(self, body, p):
        """The alternatives from position p to a closing parenthesis, each a list of symbols."""
        result, current = [], [[]]
        while p < len(body) and body[p] != ")":
            if body[p] == "|":
                result += current
                current = [[]]
                p += 1
                continue
            if body[p] == "(":
                inner, p = self.alternatives(body, p + 1)
            else:
                inner = [self.symbol(body[p])]
            p += 1
            if p < len(body) and body[p] in "?*+":
                inner = self.repeated(inner, body[p])
                p += 1
            current = [left + right for left in current for right in inner]
        return result + current, p

    def repeated(self, inner, operator):
        if operator == "?":
            return inner + [[]]
        self.count += 1
        name = "repeat_%d" % self.count
        self.out[name] = inner + [[name] + one for one in inner]
        return [[name]] + ([[]] if operator == "*" else [])

    def bison(self, kind, start):
        lines = ["%define lr.type " + kind, "%token " + " ".join(sorted(self.terminals)), "%start " + start, "%%"]
        for name, alternatives in self.out.items():
            lines.append(name + "_ : " + "\n  | ".join(" ".join(map(self.spell, a)) or "%empty" for a in alternatives) + " ;")
        return "\n".join(lines) + "\n"

    def spell(self, symbol):
        return symbol if symbol in self.terminals else symbol + "_"


def conflicts(text, explain):
    with tempfile.NamedTemporaryFile("w", suffix=".y") as file:
        file.write(text)
        file.flush()
        warnings = ["-Wcounterexamples"] if explain else []
        run = subprocess.run(["bison", "-Wno-other", "-Wconflicts-sr", "-Wconflicts-rr", *warnings, "-o", "/dev/null", file.name],
                             capture_output=True, text=True)
    found = [line for line in run.stderr.splitlines() if "conflict" in line]
    return (run.stderr if found or run.returncode else ""), run.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grammar")
    parser.add_argument("--start", action="append", help="start rules, default: file")
    parser.add_argument("--explain", action="store_true", help="show a text for each conflict (may take minutes)")
    parser.add_argument("--print", action="store_true", help="print the Bison grammar only")
    args = parser.parse_args()
    with open(args.grammar, encoding="utf-8") as file:
        converter = Converter(parser_rules(tokenize(file.read())))
    bad = 0
    for start in args.start or ["file"]:
        for kind in ("canonical-lr", "lalr"):
            text = converter.bison(kind, start + "_")
            if args.print:
                print(text)
                continue
            message, status = conflicts(text, args.explain)
            bad |= bool(message) or status != 0
            print("%s, %s: %s" % (start, kind, message or "no conflict"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
