// SPDX-License-Identifier: Apache-2.0
// Works on tokens, with the tree to say where declarations and constraints begin. Three passes: tokens to lines,
// columns for runs of lines, lines to text.
#include "lang/format.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "lang/ast.h"
#include "lang/diagnostic.h"
#include "lang/parser.h"
#include "lang/tokens.h"

namespace amo::lang {
namespace {

constexpr std::size_t kIndent = 2;
constexpr std::size_t kCommentColumns[] = {62, 83};  // the first that the code leaves free; else three spaces

std::size_t Width(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

// A token with what is known of its place.
struct Piece {
  std::string_view text;
  TokenKind kind;
  std::uint32_t begin = 0;
  std::size_t newlines = 0;  // in the white space before it
  std::size_t column = 0;    // where a comment stands in the source
  bool space = false;        // before it, when it does not begin a line
  bool is(std::string_view s) const { return text == s && kind != TokenKind::kString && kind != TokenKind::kComment; }
  bool operand_end() const {
    return kind == TokenKind::kName || kind == TokenKind::kNumber || kind == TokenKind::kString || is(")") || is("]") ||
           is("'") || is("true") || is("false");
  }
};

struct Line {
  std::vector<std::size_t> pieces;  // empty: only a comment, or nothing
  std::optional<std::size_t> comment;
  bool blank_before = false;
  const Decl* decl = nullptr;     // set on the first line of a declaration
  bool item = false;              // begins a constraint, a description or a set's rule
  std::size_t keyword_width = 0;  // columns; 0: as wide as it is
  std::size_t name_width = 0;
  std::size_t name_end = 0;  // how many pieces of the line are keyword and name; 0: no such column
};

bool IsBlock(const Decl& d) {
  return std::holds_alternative<VariantDecl>(d.node) || std::holds_alternative<ProblemDecl>(d.node);
}

// Declarations of one group share their columns.
enum class Group { kNone, kSizes, kValues, kLets, kUpdates, kLearning };

Group GroupOf(const Decl& decl) {
  return std::visit(Overload{
                        [](const DimDecl&) { return Group::kSizes; },
                        [](const ValueDecl& d) { return d.kind == ValueKind::kConst ? Group::kSizes : Group::kValues; },
                        [](const NetworkDecl&) { return Group::kValues; },
                        [](const FunctionDecl&) { return Group::kValues; },
                        [](const NextDecl&) { return Group::kValues; },
                        [](const LetDecl&) { return Group::kLets; },
                        [](const UpdateDecl&) { return Group::kUpdates; },
                        [](const ModelDecl&) { return Group::kLearning; },
                        [](const SolveDecl&) { return Group::kLearning; },
                        [](const LossDecl&) { return Group::kLearning; },
                        [](const TrainDecl&) { return Group::kLearning; },
                        [](const auto&) { return Group::kNone; },
                    },
                    decl.node);
}

class Formatter {
 public:
  Formatter(const Sources& sources, const File& file, const std::vector<Token>& tokens) {
    for (const Decl& decl : file.decls) {
      decls_[decl.span.begin] = &decl;
      const auto* subject = std::get_if<SubjectDecl>(&decl.node);
      if (subject == nullptr) continue;
      for (const Constraint& c : subject->constraints) items_.insert(c.span.begin);
    }
    std::uint32_t end = 0;
    for (const Token& token : tokens) {
      Piece piece{sources.Text(token.span), token.kind, token.span.begin};
      piece.newlines = Newlines(sources, {end, token.span.begin, token.span.source});
      if (token.kind == TokenKind::kComment) {
        piece.column = sources.At(token.span.source, token.span.begin).column - 1;
        while (piece.text.ends_with(' ') || piece.text.ends_with('\t')) piece.text.remove_suffix(1);
      }
      pieces_.push_back(piece);
      end = token.span.end;
    }
  }

  std::string Run() {
    Space();
    MakeLines();
    AlignRuns();
    next_code_.assign(lines_.size(), lines_.size());
    for (std::size_t i = lines_.size(); i-- > 1;) next_code_[i - 1] = lines_[i].pieces.empty() ? next_code_[i] : i;
    for (std::size_t i = 0; i < lines_.size(); ++i) Print(i);
    return std::move(out_);
  }

 private:
  static std::size_t Newlines(const Sources& sources, Span span) {
    const std::string_view text = sources.Text(span);
    std::size_t count = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      count += text[i] == '\n' || (text[i] == '\r' && (i + 1 == text.size() || text[i + 1] != '\n'));
    }
    return count;
  }

  const Decl* DeclAt(std::size_t piece) const {
    const auto found = decls_.find(pieces_[piece].begin);
    return found == decls_.end() ? nullptr : found->second;
  }

  // ---- pass 0: spaces between tokens of one line

  void Space() {
    std::string open;  // brackets
    std::string_view keyword;
    const Piece* before = nullptr;
    const Piece* two_before = nullptr;
    bool sign = false;  // `before` is a sign, not a difference
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      Piece& piece = pieces_[i];
      if (piece.kind == TokenKind::kComment) continue;
      if (DeclAt(i) != nullptr) {
        keyword = piece.text;
        open.clear();
        before = nullptr;
      }
      const bool item = items_.count(piece.begin) > 0;
      piece.space = before != nullptr && !sign && SpaceBetween(two_before, *before, piece, open, keyword);
      if (sign && piece.is("-")) piece.space = true;  // `- -x`: glued they are another token
      if (item) before = nullptr;
      sign = piece.is("-") && (before == nullptr || !before->operand_end() || IsClause(*before, keyword));
      if (piece.is("(") || piece.is("[")) {
        // An index differs from an array: `a[:]`, but `[a, b]`.
        open += piece.is("(") ? '(' : before != nullptr && before->operand_end() && !piece.space ? 'i' : '[';
      } else if ((piece.is(")") || piece.is("]")) && !open.empty()) {
        open.pop_back();
      }
      two_before = before;
      before = &piece;
    }
  }

  // Words that are names elsewhere, where they begin a clause.
  static bool IsClause(const Piece& piece, std::string_view keyword) {
    return (keyword == "next" && piece.is("until")) || (keyword == "loss" && piece.is("by"));
  }

  static bool SpaceBetween(const Piece* two_before, const Piece& a, const Piece& b, const std::string& open,
                           std::string_view keyword) {
    for (const std::string_view tight : {".", "..", "^", ".^"}) {
      if (a.is(tight) || b.is(tight)) return false;
    }
    if (a.is("(") || a.is("[")) return false;
    if (b.is(")") || b.is("]") || b.is(",") || b.is(";") || b.is("'")) return false;
    if (b.is("(") || b.is("[")) return !a.operand_end() || IsClause(a, keyword);
    if (b.is(":")) return IsTypeColon(two_before, a, open, keyword);
    return true;
  }

  // `e : real` has its colon between spaces; `i in n: e`, `cap: y <= 1` and `loss Q: e` have not.
  static bool IsTypeColon(const Piece* two_before, const Piece& name, const std::string& open,
                          std::string_view keyword) {
    if (open.empty()) return keyword != "subject" && keyword != "loss" && keyword != "train";
    if (open.back() == 'i' && (name.is(",") || name.is("["))) return name.is(",");  // the slice `:`
    const bool begins = two_before != nullptr && (two_before->is("(") || two_before->is("[") || two_before->is(","));
    return begins && name.kind == TokenKind::kName;
  }

  // ---- pass 1: lines

  // A token that never begins a line: what it belongs to would look like the end of the one before.
  static bool Joins(const Piece& before, const Piece& piece) {
    if ((piece.is("(") || piece.is("[")) && before.operand_end()) return true;
    for (const std::string_view s : {",", ";", ")", "]", ".", "..", "^", ".^", "'", ":"}) {
      if (piece.is(s)) return true;
    }
    return before.is(".") || before.is("..") || before.is("^") || before.is(".^");
  }

  void MakeLines() {
    bool must_break = true;
    const Piece* before = nullptr;
    const Decl* decl = nullptr;
    std::size_t depth = 0;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      const Piece& piece = pieces_[i];
      const bool blank = piece.newlines > 1 && !lines_.empty();
      if (piece.kind == TokenKind::kComment) {
        if (must_break || piece.newlines > 0) {
          lines_.push_back({});
          lines_.back().blank_before = blank;
        }
        lines_.back().comment = i;
        must_break = true;
        continue;
      }
      const Decl* begins = DeclAt(i);
      const bool item =
          items_.count(piece.begin) > 0 ||
          (decl != nullptr && begins == nullptr && depth == 0 &&
           ((std::holds_alternative<ProblemDecl>(decl->node) && piece.kind == TokenKind::kString) ||
            (std::holds_alternative<SetDecl>(decl->node) && piece.is("project") && before != decl_piece_)));
      if (begins != nullptr) {
        decl = begins;
        decl_piece_ = &piece;
        depth = 0;
      }
      const bool broken = piece.newlines > 0 && before != nullptr && !Joins(*before, piece);
      if (must_break || begins != nullptr || item || broken) {
        // Blank lines stand between declarations and between constraints; inside them they would hide what belongs
        // together. A comment line keeps its own.
        const bool keeps_blank = begins != nullptr || item || decl == nullptr;
        lines_.push_back({});
        lines_.back().blank_before = blank && keeps_blank;
        lines_.back().decl = begins;
        lines_.back().item = item;
      }
      lines_.back().pieces.push_back(i);
      must_break = false;
      if (piece.is("(") || piece.is("[")) ++depth;
      if ((piece.is(")") || piece.is("]")) && depth > 0) --depth;
      before = &piece;
    }
  }

  // ---- pass 2: columns

  void AlignRuns() {
    std::vector<std::size_t> run;  // first lines of declarations of one group
    Group group = Group::kNone;
    const auto close = [&] {
      if (group != Group::kNone) Align(run);
      run.clear();
    };
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      if (lines_[i].blank_before) close();
      if (lines_[i].decl == nullptr) continue;
      const Group next = GroupOf(*lines_[i].decl);
      if (next != group) close();
      group = next;
      run.push_back(i);
    }
    close();
  }

  void Align(const std::vector<std::size_t>& run) {
    std::size_t keyword_width = 0;
    for (const std::size_t i : run) keyword_width = std::max(keyword_width, Width(pieces_[lines_[i].pieces[0]].text));
    for (const std::size_t i : run) lines_[i].keyword_width = keyword_width;
    // Names are padded among neighbours that have the column; much longer ones than the shortest stick out of it.
    std::vector<std::size_t> neighbours;
    const auto close = [&] {
      std::size_t shortest = std::string::npos;
      for (const std::size_t i : neighbours) shortest = std::min(shortest, NameWidth(lines_[i]));
      std::size_t width = 0;
      for (const std::size_t i : neighbours) {
        const std::size_t own = NameWidth(lines_[i]);
        if (own <= shortest + 1) width = std::max(width, own);
      }
      for (const std::size_t i : neighbours) lines_[i].name_width = width;
      neighbours.clear();
    };
    for (const std::size_t i : run) {
      lines_[i].name_end = NameEnd(lines_[i]);
      if (lines_[i].name_end == 0) {
        close();
      } else {
        neighbours.push_back(i);
      }
    }
    close();
  }

  // The pieces before the `:` of a value's type, before the `=` of a `let` or an `update`.
  std::size_t NameEnd(const Line& line) const {
    const Decl& decl = *line.decl;
    const auto* value = std::get_if<ValueDecl>(&decl.node);
    const bool typed = value != nullptr && value->type && value->kind != ValueKind::kConst;
    const bool defined = std::holds_alternative<LetDecl>(decl.node) || std::holds_alternative<UpdateDecl>(decl.node);
    if (!typed && !defined) return 0;
    std::size_t depth = 0;
    for (std::size_t k = 0; k < line.pieces.size(); ++k) {
      const Piece& piece = pieces_[line.pieces[k]];
      if (piece.is("(") || piece.is("[")) ++depth;
      if (piece.is(")") || piece.is("]")) --depth;
      if (depth == 0 && (piece.is(":") || piece.is("="))) return k;
    }
    return 0;
  }

  std::size_t NameWidth(const Line& line) const {
    std::size_t width = 0;
    for (std::size_t k = 1; k < line.name_end; ++k) {
      const Piece& piece = pieces_[line.pieces[k]];
      width += (k > 1 && piece.space) + Width(piece.text);
    }
    return width;
  }

  // ---- pass 3: text

  struct Bracket {
    std::size_t line_indent;  // of the line that opens it
    std::size_t content;      // the column behind it
    bool content_follows;     // on the same line
  };

  std::size_t IndentOf(const Line& line) {
    if (line.decl != nullptr) {
      if (IsBlock(*line.decl)) block_indent_ = 0;
      base_ = block_indent_;
      if (std::holds_alternative<VariantDecl>(line.decl->node)) block_indent_ = kIndent;
      brackets_.clear();
      where_column_ = body_column_ = 0;
      decl_ = line.decl;
      in_item_ = false;
      return base_;
    }
    if (decl_ == nullptr) return 0;  // the version
    if (line.item) {
      in_item_ = true;
      brackets_.clear();
      return base_ + kIndent;
    }
    const std::size_t base = base_ + (in_item_ ? kIndent : 0);
    const Piece& first = pieces_[line.pieces[0]];
    if (first.is("where")) return base + kIndent;
    const Piece& before = pieces_[last_piece_];
    if (!brackets_.empty()) {
      const Bracket& bracket = brackets_.back();
      return before.is(":") || !bracket.content_follows ? bracket.line_indent + kIndent : bracket.content;
    }
    if (where_column_ > 0 && before.is(",")) return where_column_;
    if (body_column_ > 0 && GroupOf(*decl_) == Group::kLearning) return body_column_;
    return base + kIndent;
  }

  // A comment line stands where the next line of code stands; at the end of the text, where the writer put it.
  std::size_t CommentIndent(std::size_t i) {
    const std::size_t next = next_code_[i];
    if (next == lines_.size()) return pieces_[*lines_[i].comment].column > 0 ? block_indent_ : 0;
    const Line& line = lines_[next];
    if (line.decl != nullptr) return IsBlock(*line.decl) ? 0 : block_indent_;
    if (line.item) return base_ + kIndent;
    return IndentOf(line);
  }

  void Print(std::size_t i) {
    const Line& line = lines_[i];
    if (line.blank_before) out_ += '\n';
    std::size_t column = line.pieces.empty() ? CommentIndent(i) : IndentOf(line);
    const std::size_t indent = column;
    out_.append(column, ' ');
    for (std::size_t k = 0; k < line.pieces.size(); ++k) {
      const Piece& piece = pieces_[line.pieces[k]];
      std::size_t spaces = k > 0 && piece.space ? 1 : 0;
      if (line.decl != nullptr && k == 1) {
        const std::size_t keyword = Width(pieces_[line.pieces[0]].text);
        spaces = 1 + std::max(line.keyword_width, keyword) - keyword;
        body_column_ = column + spaces;
      }
      if (line.name_end > 0 && k == line.name_end) {
        const std::size_t name = NameWidth(line);
        spaces = 1 + std::max(line.name_width, name) - name;
      }
      out_.append(spaces, ' ');
      out_ += piece.text;
      column += spaces + Width(piece.text);
      Track(line, k, indent, column);
    }
    if (!line.pieces.empty()) last_piece_ = line.pieces.back();
    if (line.comment) PrintComment(line, column);
    out_ += '\n';
  }

  void Track(const Line& line, std::size_t k, std::size_t indent, std::size_t column) {
    const Piece& piece = pieces_[line.pieces[k]];
    if (piece.is("(") || piece.is("[")) {
      brackets_.push_back({indent, column, k + 1 < line.pieces.size()});
    } else if ((piece.is(")") || piece.is("]")) && !brackets_.empty()) {
      brackets_.pop_back();
    } else if (piece.is("where") && brackets_.empty()) {
      where_column_ = column + 1;
    }
  }

  void PrintComment(const Line& line, std::size_t column) {
    if (!line.pieces.empty()) {
      std::size_t target = column + 3;
      for (const std::size_t stop : kCommentColumns) {
        if (column + 2 > stop) continue;
        target = stop;
        break;
      }
      out_.append(target - column, ' ');
    }
    out_ += pieces_[*line.comment].text;
  }

  std::map<std::uint32_t, const Decl*> decls_;  // by where they begin
  std::set<std::uint32_t> items_;               // where constraints begin
  std::vector<Piece> pieces_;
  std::vector<Line> lines_;
  std::vector<std::size_t> next_code_;  // by line: the next one with code
  const Piece* decl_piece_ = nullptr;

  // While printing:
  std::string out_;
  const Decl* decl_ = nullptr;
  std::size_t block_indent_ = 0;  // inside a variant
  std::size_t base_ = 0;          // of the declaration
  bool in_item_ = false;
  std::vector<Bracket> brackets_;
  std::size_t where_column_ = 0, body_column_ = 0;  // 0: none yet
  std::size_t last_piece_ = 0;
};

}  // namespace

std::string Format(const Sources& sources, std::uint32_t source) {
  Diagnostics diagnostics;
  ExprId next_id = 0;
  const File file = Parse(sources, source, next_id, diagnostics);
  if (diagnostics.has_errors()) return sources[source].text;
  return Formatter(sources, file, Tokenize(sources, source)).Run();
}

}  // namespace amo::lang
