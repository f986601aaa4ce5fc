package terminal

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// kind is what a prompt looks like.
type kind uint8

const (
	noPrompt   kind = iota
	shellLike       // $ # % > and what people put in their place
	otherLike       // something that ends in no usual way
	replLike        // another program that reads commands
	askingLike      // a question
)

var (
	// repl are prompts of well-known programs that read commands but are no shells.
	repl = regexp.MustCompile(`^(>>>|\.\.\.|In \[\d+\]:|\s*\.\.\.:|\((gdb|lldb|Pdb|rdb:\d+|dlv)\)|` +
		`(mysql|MariaDB \[.*\]|sqlite|sqlite3|ftp|sftp|redis|psql|mongo|mongosh|test|ghci|Prelude|irb.*|iex.*|scala|telnet|bc|nslookup|parted|gnuplot|-|'|"|  ->|\s*\.\.\.)>|` +
		`\S*[=(\-*'"^!]+[#>]|irb\(\S*\):\d+:\d+[>*]|\d+\.\d+\.\d+ :\d+ >|\S+:\d+(\.\d+)*>)$`)
	// continuation are the prompts for the rest of a command: PS2, zsh's with what is open, python's.
	continuation = regexp.MustCompile(`^(\.\.\.|((for|while|until|repeat|case|select|if|then|else|elif|elif-then|quote|dquote|bquote|heredoc|heredocd|` +
		`pipe|errpipe|cmdand|cmdor|cmdsubst|subsh|cursh|function|array|mathsubst|math|braceparam|foreach|not|always|cond) ?)*>) $`)
	// placed is a prompt that names the directory without doubt: user@host:/path$ or user@host:~/path#.
	placed = regexp.MustCompile(`^(?:\([^)]*\) ?)?\S+@\S+?:((?:/|~)[^:]*?) ?[$#%>] $`)
)

// classify tells what a prompt looks like.
func classify(prompt string) kind {
	text := strings.TrimSpace(prompt)
	if text == "" {
		return noPrompt
	}
	if repl.MatchString(text) {
		return replLike
	}
	last, _ := utf8.DecodeLastRuneInString(text)
	switch {
	case strings.ContainsRune("$#%>❯➜➤λ»▶⟩→⇒›ᐅ\ue0b0", last):
		return shellLike
	case strings.ContainsRune(":?", last):
		return askingLike
	}
	return otherLike
}

// directoryOf gives the directory that a prompt names, or "".
func directoryOf(prompt string) string {
	m := placed.FindStringSubmatch(prompt)
	if m == nil || strings.Contains(m[1], "...") || strings.Contains(m[1], "…") {
		return ""
	}
	return m[1]
}

// maxPrompts is how many prompts are remembered, and maxPrompt how long they may be.
const (
	maxPrompts = 16
	maxPrompt  = 512
)

// prompts are those after which commands were read, the latest last.
type prompts []string

func (p *prompts) learn(prompt string) {
	if len(prompt) > maxPrompt || strings.TrimSpace(prompt) == "" {
		return
	}
	*p = slices.DeleteFunc(*p, func(known string) bool { return known == prompt })
	*p = append(*p, prompt)
	if len(*p) > maxPrompts {
		*p = slices.Delete(*p, 0, 1)
	}
}

func (p prompts) has(prompt string) bool { return slices.Contains(p, prompt) }

// cut gives the longest known prompt that text begins with, or one that differs from a known one only in the directory
// between its head and its last characters.
func (p prompts) cut(text string) (prompt string, ok bool) {
	for _, known := range p {
		if strings.HasPrefix(text, known) && len(known) > len(prompt) {
			prompt = known
		}
	}
	if prompt != "" {
		return prompt, true
	}
	for _, known := range slices.Backward(p) {
		head, tail := ends(known)
		if head == "" || !strings.HasPrefix(text, head) {
			continue
		}
		if i := strings.Index(text[len(head):], tail); i >= 0 {
			return text[:len(head)+i+len(tail)], true
		}
	}
	return "", false
}

// ends gives what stands before the directory in a prompt, and what after it. The head is empty where there is none.
func ends(prompt string) (head, tail string) {
	text := strings.TrimRight(prompt, " ")
	_, size := utf8.DecodeLastRuneInString(text)
	tail = prompt[len(text)-size:]
	if i := strings.IndexAny(text, ":/~ "); i > 0 {
		if text[i] == ':' || text[i] == ' ' {
			i++
		}
		return prompt[:i], tail
	}
	return "", tail
}

// plainLines gives text in valid UTF-8 without control characters other than newlines.
func plainLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = plain(l, len(l)*3)
	}
	return strings.Join(lines, "\n")
}

// cut gives at most n bytes of text, in whole characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
