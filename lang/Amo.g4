// SPDX-License-Identifier: Apache-2.0
// The grammar of the amo language. White space never matters.
// Invariant that makes "no terminator" safe: no declaration, item or clause starts with a token that can continue an
// expression: an operator, "(", "[", "'", "." or "..". tools/grammar_proof.py proves the rules LR(1) and LALR(1).
// Broken texts are not parsed by `file` but declaration by declaration, see parser.cc.
grammar Amo;

file        : version? declaration* EOF ;
version     : K_AMO NUMBER ;
expression  : body EOF ;                                  // one expression from a command line

declaration
  : problemDecl | variantDecl | useDecl | dimDecl | constDecl | valueDecl | contextDecl | variableDecl | randomDecl
  | networkDecl | functionDecl | setDecl | letDecl | objectiveDecl | findDecl | subjectDecl | updateDecl | modelDecl
  | lossDecl | trainDecl | reportDecl | nextDecl
  ;

problemDecl   : K_PROBLEM name STRING? ;
variantDecl   : K_VARIANT name ;
useDecl       : K_USE STRING ;
dimDecl       : K_DIM name '=' body ;
constDecl     : K_CONST names indices? (':' type)? origin ;
valueDecl     : (K_DATA | K_PARAMETER) names indices? (':' type)? membership? origin ;
contextDecl   : (K_CONTEXT | K_HIDDEN) names indices? (':' type)? membership? origin? ;
variableDecl  : K_VARIABLE names indices? ':' type membership? ;
randomDecl    : K_RANDOM names indices? ':' type '~' body ;
networkDecl   : K_NETWORK name indices? params '->' type ('=' builder (K_FROM source)? | K_FROM source) ;
functionDecl  : K_FUNCTION name params ('->' type)? '=' body ;
setDecl       : K_SET name params? (K_PROJECT name '=' body)? ;
letDecl       : K_LET name indices? (':' type)? '=' body ;
objectiveDecl : (K_MINIMIZE | K_MAXIMIZE) body ;
findDecl      : K_FIND relation ;
subjectDecl   : K_SUBJECT K_TO constraint+ ;
updateDecl    : K_UPDATE name indices? (':' type)? '=' body (K_FROM body)? ;
modelDecl     : (K_MODEL | K_SOLVE) stages ;
lossDecl      : K_LOSS owners? body (K_BY builder)? ;
trainDecl     : K_TRAIN owners? setting (',' setting)* ;
reportDecl    : K_REPORT name '=' body ;
nextDecl      : K_NEXT name '=' body (K_UNTIL expr)? ;

names      : name (',' name)* ;
indices    : '[' loop (',' loop)* ']' ;                   // a family: one for each index
origin     : '=' body | '~' body | K_FROM source ;
membership : K_IN sum ;
source     : (STRING | builder) ('.' word)* ;
params     : '(' (param (',' param)*)? ')' ;
param      : name ':' type ;
type       : name ('[' expr (',' expr)* ']')? ;
constraint : constraintName quantifier? ':' relation ;    // the name is what ends the constraint before it
quantifier : '[' loop (',' loop)* (K_IF expr)? ']' ;
relation   : sum (relop sum)* membership? ;
owners     : owner (',' owner)* ':' ;
setting    : word '=' expr ;
stages     : (builder | definition (',' definition)* where? over*) then* ;
over       : K_OVER name ':' type membership? (K_FROM expr)? ;
then       : K_THEN builder ;
builder    : name ('(' arguments? ')')? ;
definition : name indices? '=' expr ;
where      : K_WHERE definition (',' definition)* ;

// ---- expressions, loosest first

body        : expr where? ;
expr        : K_IF expr K_THEN expr K_ELSE expr | disjunction ;
disjunction : conjunction (K_OR conjunction)* ;
conjunction : negation (K_AND negation)* ;
negation    : K_NOT negation | comparison ;
comparison  : sum (relop sum)* ;                          // chains: a <= b <= c
sum         : term (('+' | '-') term)* ;
term        : factor (('*' | '/' | '.*' | './' | '%') factor)* ;
factor      : '-' factor | power ;
power       : postfix (('^' | '.^') factor)? ;            // right associative; -x^2 is -(x^2); 2^-1
postfix     : name (callTail | tail)* | '(' body ')' tail* | array transposed* | NUMBER | STRING | K_TRUE | K_FALSE ;
callTail    : '(' arguments? ')' ;
tail        : '[' index (',' index)* ']' | '.' word | transposed ;
transposed  : '\'' ;
array       : '[' (comprehension | expr (',' expr)*)? ']' ;
comprehension : binder (',' binder)* closing ;
// One list for the arguments of a call and for a comprehension: `scan(z = s0, t in H: e)` and `f(z = s0, t)` differ
// only after the first item. What may stand beside what is checked when the tree is built. Recursive, because only the
// end tells them apart: the text check bounds the number of commas.
arguments   : items | weights ;
items       : expr more? | bindable (closing | more)? ;
more        : ',' items | weights ;
bindable    : word '=' expr | looping ;
weights     : ';' expr (',' expr)* ;
closing     : (K_IF expr)? ':' body ;
binder      : looping | name '=' expr ;
looping     : loop | name ':' type '~' expr ;
loop        : name K_IN sum ('..' sum)? ;
index       : ':' | '..' expr | expr ('..' expr?)? ;
relop       : '==' | '!=' | '<=' | '>=' | '<' | '>' ;

// ---- words

name        : NAME | soft | K_SOLVE | K_NEXT ;
constraintName : NAME | soft ;
owner       : name | K_MODEL ;
word        : NAME | soft | K_SOLVE | K_NEXT | hard ;     // after '.', and before '=' in a call or a setting
soft        : K_TO | K_PROJECT | K_OVER | K_BY | K_UNTIL | K_AMO ;
hard        : K_PROBLEM | K_VARIANT | K_USE | K_DIM | K_CONST | K_DATA | K_PARAMETER | K_HIDDEN | K_CONTEXT
            | K_VARIABLE | K_RANDOM | K_NETWORK | K_FUNCTION | K_SET | K_LET | K_MINIMIZE | K_MAXIMIZE | K_FIND
            | K_SUBJECT | K_UPDATE | K_MODEL | K_LOSS | K_TRAIN | K_REPORT | K_FROM | K_WHERE | K_IN | K_IF | K_THEN
            | K_ELSE | K_AND | K_OR | K_NOT | K_TRUE | K_FALSE ;

K_PROBLEM: 'problem'; K_VARIANT: 'variant'; K_USE: 'use'; K_DIM: 'dim'; K_CONST: 'const'; K_DATA: 'data';
K_PARAMETER: 'parameter'; K_HIDDEN: 'hidden'; K_CONTEXT: 'context'; K_VARIABLE: 'variable'; K_RANDOM: 'random';
K_NETWORK: 'network'; K_FUNCTION: 'function'; K_SET: 'set'; K_LET: 'let'; K_MINIMIZE: 'minimize';
K_MAXIMIZE: 'maximize'; K_FIND: 'find'; K_SUBJECT: 'subject'; K_UPDATE: 'update'; K_MODEL: 'model'; K_LOSS: 'loss';
K_TRAIN: 'train'; K_REPORT: 'report';
K_FROM: 'from'; K_WHERE: 'where'; K_IN: 'in'; K_IF: 'if'; K_THEN: 'then'; K_ELSE: 'else'; K_AND: 'and'; K_OR: 'or';
K_NOT: 'not'; K_TRUE: 'true'; K_FALSE: 'false';
K_TO: 'to'; K_NEXT: 'next'; K_SOLVE: 'solve'; K_PROJECT: 'project'; K_OVER: 'over'; K_BY: 'by'; K_UNTIL: 'until';
K_AMO: 'amo';

EQUAL: '='; TILDE: '~'; COLON: ':'; COMMA: ','; SEMICOLON: ';'; DOT: '.'; DOTS: '..'; ARROW: '->'; PRIME: '\'';
LPAREN: '('; RPAREN: ')'; LBRACK: '['; RBRACK: ']';
PLUS: '+'; MINUS: '-'; STAR: '*'; SLASH: '/'; PERCENT: '%'; DOT_STAR: '.*'; DOT_SLASH: './'; CARET: '^';
DOT_CARET: '.^';
EQ: '=='; NE: '!='; LE: '<='; GE: '>='; LT: '<'; GT: '>';

NAME    : LETTER (LETTER | MARK | DIGIT)* ;
NUMBER  : DIGITS ('.' DIGITS)? EXPONENT? ;                // a digit on both sides of the point: 0..n, 2.*x, 1./x
STRING  : '"' ~["\r\n]* '"' ;
COMMENT : '#' ~[\r\n]* -> channel(HIDDEN) ;
WS      : [ \t\r\n\u00A0\u2009\uFEFF]+ -> skip ;

// Error tokens: reported by the parser with one message each; the lexer itself never fails.
GLUED       : DIGITS ('.' DIGITS)? EXPONENT? LETTER (LETTER | MARK | DIGIT)* ;   // 2x
OPEN_STRING : '"' ~["\r\n]* ;
FOREIGN     : '**' | '--' | '++' | '&&' | '||' | '!' | ':=' | '=>' | '=<' | '<>' | '===' | '+=' | '-=' | '*=' | '//'
            | '{' | '}' | '&' | '|' | '\\' | '@' | '?' | '$' | '\u2264' | '\u2265' | '\u2260' | '\u2212' | '\u00D7'
            | '\u00B7' | '\u2208' | '\u2032' | '\u223C' | '\u2192' | '\u00B2' | '\u00B3'
            | '\u2211' | '\u221A' | '\u201C' | '\u201D' | '\u2018' | '\u2019' ;
OTHER       : . ;

fragment DIGITS   : DIGIT+ ;
fragment DIGIT    : [0-9] ;
fragment EXPONENT : [eE] [+-]? DIGITS ;
fragment LETTER   : [\p{L}_\u2206] ;
fragment MARK     : [\p{M}\u2080-\u2089] ;           // combining marks, subscript digits
