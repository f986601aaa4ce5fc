package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Cedar's parser stops at the first error and its syntax tree keeps no positions. So the text is cut into tokens
// here as well, by the same lexical rules, to tell where each policy starts and where in it a word stands. Cedar
// alone decides what the text means: each statement is given to it whole.

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenString
	tokenOther
)

type token struct {
	kind   tokenKind
	text   string
	offset int
	at     position
}

// statement is one policy's text up to and with its semicolon, and its tokens.
type statement struct {
	text   string
	tokens []token
}

// lexer walks a file's text.
type lexer struct {
	text   string
	offset int
	at     position
}

// lexError says why the text cannot be cut into tokens, and where.
type lexError struct {
	at   position
	text string
}

func (e *lexError) Error() string { return fmt.Sprintf("%d:%d: %s", e.at.line, e.at.column, e.text) }

// statements cuts a file into its statements. The last one may lack its semicolon; Cedar says so.
func statements(text string) ([]statement, *lexError) {
	lex := &lexer{text: text, at: position{1, 1}}
	var all []statement
	var tokens []token
	for {
		t, err := lex.next()
		if err != nil {
			return all, err
		}
		if t.kind == tokenEnd && len(tokens) == 0 {
			return all, nil
		}
		if t.kind != tokenEnd {
			tokens = append(tokens, t)
		}
		if t.kind == tokenEnd || t.text == ";" {
			all = append(all, statement{text: text[tokens[0].offset:lex.offset], tokens: tokens})
			tokens = nil
		}
		if t.kind == tokenEnd {
			return all, nil
		}
	}
}

// peek is the next character, 0 at the end.
func (l *lexer) peek() rune {
	r, size := utf8.DecodeRuneInString(l.text[l.offset:])
	if size == 0 {
		return 0
	}
	return r
}

func (l *lexer) step() {
	r, size := utf8.DecodeRuneInString(l.text[l.offset:])
	l.offset += size
	l.at.column++
	if r == '\n' {
		l.at = position{l.at.line + 1, 1}
	}
}

// skip passes white space and comments.
func (l *lexer) skip() *lexError {
	for l.offset < len(l.text) {
		rest := l.text[l.offset:]
		switch {
		case strings.ContainsRune(" \t\r\n", rune(rest[0])):
			l.step()
		case strings.HasPrefix(rest, "//"):
			for l.offset < len(l.text) && l.peek() != '\n' {
				l.step()
			}
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return &lexError{l.at, "this comment is not closed: */ is missing"}
			}
			for stop := l.offset + end + 4; l.offset < stop; {
				l.step()
			}
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) next() (token, *lexError) {
	if err := l.skip(); err != nil {
		return token{}, err
	}
	start := token{offset: l.offset, at: l.at}
	if l.offset == len(l.text) {
		return start, nil
	}
	switch first := l.peek(); {
	case isWord(first):
		start.kind = tokenWord
		digits := first >= '0' && first <= '9'
		for r := l.peek(); isWord(r) && (!digits || r >= '0' && r <= '9'); r = l.peek() {
			l.step()
		}
	case first == '"':
		start.kind = tokenString
		if err := l.string(); err != nil {
			return token{}, err
		}
	default:
		start.kind = tokenOther
		l.operator()
	}
	start.text = l.text[start.offset:l.offset]
	return start, nil
}

// operator passes a sign, of one character or two.
func (l *lexer) operator() {
	if rest := l.text[l.offset:]; len(rest) >= 2 {
		switch rest[:2] {
		case "::", "!=", "<=", ">=", "==", "||", "&&":
			l.step()
		}
	}
	l.step()
}

// string passes a string literal; what its escapes mean is Cedar's to say.
func (l *lexer) string() *lexError {
	start := l.at
	l.step()
	for l.offset < len(l.text) {
		switch l.peek() {
		case '"':
			l.step()
			return nil
		case '\n':
			return &lexError{start, "this string is not closed: a quote is missing on this line"}
		case '\\':
			l.step()
		}
		if l.offset < len(l.text) && l.peek() != '\n' {
			l.step()
		}
	}
	return &lexError{start, "this string is not closed: a quote is missing"}
}

func isWord(r rune) bool {
	return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
