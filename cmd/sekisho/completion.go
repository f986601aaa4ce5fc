package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sekisho/sekisho/recording"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completionCmd) Help() string {
	return `Prints a script that completes commands, flags, and the names of your keys. Once you have logged in, it completes session IDs as well: those that run for sessions watch and end, the newest 100 recorded ones for recordings. For these the server is asked, which has a second to answer.

Examples:

    source <(sekisho completion bash)
    sekisho completion zsh > "${fpath[1]}/_sekisho"
    sekisho completion fish > ~/.config/fish/completions/sekisho.fish
`
}

func (cmd *completionCmd) Run(a *app) error {
	script := map[string]func([]node) string{"bash": bash, "zsh": zsh, "fish": fish}[cmd.Shell]
	_, err := fmt.Fprint(a.out, script(flatten(a.model.Node, "")))
	return err
}

// node is one command as the scripts see it: the words that lead to it, and what can follow.
type node struct {
	path  string // "" for the program, "keys new" for a command in a command
	help  string
	flags []choice
	below []choice
	files bool // its arguments may be files

	values map[string][]string // what can follow a flag, by the flag
}

// suggestions are what a flag or argument that is tagged suggest takes, among others.
var suggestions = map[string][]string{
	"kinds": eventKinds, "kems": kemNames(), "keys": {"sekisho keys names"},
	"to-watch": {"sekisho sessions ids watch"}, "to-end": {"sekisho sessions ids end"}, "recorded": {"sekisho recordings ids"},
	"ca-kinds": {"ed25519", "ecdsa-p256", "ecdsa-p384"}, "scopes": {"ca.read", "ca.manage", "certificates.read", "certificates.revoke", "certificates.sign/"},
	"to-withdraw": {"sekisho keys ids"}, "to-sign": {"sekisho ca names"}, "cas": {"sekisho ca ids"},
}

// isAsked says of a suggestion that it is a command in place of a word: each line that it prints is offered, each time
// anew, up to a tab; after that stands what it is.
func isAsked(word string) bool { return strings.HasPrefix(word, "sekisho ") }

func kemNames() (names []string) {
	for _, kem := range recording.KEMs() {
		names = append(names, kem.String())
	}
	return names
}

// valuesOf are the values that are known for a flag or argument.
func valuesOf(v *kong.Value) []string {
	if v.Enum != "" {
		return v.EnumSlice()
	}
	return suggestions[v.Tag.Get("suggest")]
}

type choice struct{ word, help string }

func flatten(n *kong.Node, path string) []node {
	this := node{path: path, help: n.Help, values: map[string][]string{}}
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			this.flags = append(this.flags, choice{"--" + f.Name, f.Help})
			if values := valuesOf(f.Value); len(values) > 0 {
				this.values["--"+f.Name] = values
			}
		}
	}
	for _, p := range n.Positional {
		this.files = this.files || strings.Contains(p.Name, "file")
		for _, word := range valuesOf(p) {
			this.below = append(this.below, choice{word, ""})
		}
	}
	var all []node
	for _, child := range n.Children {
		if child.Hidden || child.Type != kong.CommandNode {
			continue
		}
		this.below = append(this.below, choice{child.Name, child.Help})
		all = append(all, flatten(child, strings.TrimSpace(path+" "+child.Name))...)
	}
	return append([]node{this}, all...)
}

// bashWords are choices for bash, which are asked for only when they are wanted: not while a flag is typed.
func bashWords(choices ...choice) string {
	var list []string
	for _, c := range choices {
		if isAsked(c.word) {
			c.word = `$([[ ${COMP_WORDS[COMP_CWORD]} = -* ]] || ` + c.word + ` 2>/dev/null | cut -f1)`
		}
		list = append(list, c.word)
	}
	return `"` + strings.Join(list, " ") + `"`
}

// zshWords are choices for zsh, with what they mean.
func zshWords(choices ...choice) string {
	var list []string
	for _, c := range choices {
		word := single(c.word + ":" + c.help)
		if isAsked(c.word) {
			word = `${(f)"$([[ ${words[CURRENT]} = -* ]] || ` + c.word + ` 2>/dev/null | tr '\t' ':')"}`
		}
		list = append(list, word)
	}
	return "( " + strings.Join(list, " ") + " )"
}

// unexplained are choices of words that speak for themselves.
func unexplained(words []string) (choices []choice) {
	for _, w := range words {
		choices = append(choices, choice{w, ""})
	}
	return choices
}

// arms are the arms of two shell case statements: for the values of flags, and for what can follow a command.
func arms(nodes []node, words func(...choice) string) (values, offers string) {
	for _, n := range nodes {
		for _, flag := range slices.Sorted(maps.Keys(n.values)) {
			values += fmt.Sprintf("  %q) offer=%s ;;\n", n.path+" "+flag, words(unexplained(n.values[flag])...))
		}
		offers += fmt.Sprintf("    %q) offer=%s ;;\n", n.path, words(slices.Concat(n.below, n.flags)...))
	}
	return values, offers
}

// known is the pattern of all that names a command.
func known(nodes []node) string {
	var paths []string
	for _, n := range nodes[1:] {
		paths = append(paths, fmt.Sprintf("%q", n.path))
	}
	return strings.Join(paths, "|")
}

// bash walks the words typed so far down the commands, then offers what can follow.
func bash(nodes []node) string {
	values, offers := arms(nodes, bashWords)
	return `# bash completion for sekisho
_sekisho() {
  local path="" offer="" word next i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    next=${path:+$path }$word
    case "$next" in
    ` + known(nodes) + `) path=$next ;;
    esac
  done
  case "$path ${COMP_WORDS[COMP_CWORD-1]}" in
` + values + `  *)
    case "$path" in
` + offers + `    esac
    ;;
  esac
  COMPREPLY=($(compgen -W "$offer" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sekisho sekisho
`
}

// single quotes a text for the shells' single quotes.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func zsh(nodes []node) string {
	values, offers := arms(nodes, zshWords)
	return `#compdef sekisho
_sekisho() {
  local at="" word next
  local -a offer
  for word in "${(@)words[2,CURRENT-1]}"; do
    next=${at:+$at }$word
    case "$next" in
    ` + known(nodes) + `) at=$next ;;
    esac
  done
  case "$at ${words[CURRENT-1]}" in
` + values + `  *)
    case "$at" in
` + offers + `    esac
    ;;
  esac
  _describe -t commands sekisho offer || _files
}
if [ "$funcstack[1]" = "_sekisho" ]; then _sekisho "$@"; else compdef _sekisho sekisho; fi
`
}

func fish(nodes []node) string {
	var b strings.Builder
	b.WriteString("# fish completion for sekisho\ncomplete -c sekisho -e\n")
	for _, n := range nodes {
		when := "__fish_use_subcommand"
		if n.path != "" {
			parts := []string{}
			for _, w := range strings.Fields(n.path) {
				parts = append(parts, "__fish_seen_subcommand_from "+w)
			}
			when = strings.Join(parts, "; and ")
		}
		for _, c := range n.below {
			what := fmt.Sprintf("-f -a %s -d %s", c.word, single(c.help))
			if isAsked(c.word) {
				what = "-a " + single("("+c.word+" 2>/dev/null)")
				if !n.files {
					what = "-f " + what
				}
			}
			fmt.Fprintf(&b, "complete -c sekisho -n %s %s\n", single(when), what)
		}
		for _, f := range n.flags {
			fmt.Fprintf(&b, "complete -c sekisho -n %s -l %s%s -d %s\n", single(when), strings.TrimPrefix(f.word, "--"), fishValues(n.values[f.word]), single(f.help))
		}
	}
	return b.String()
}

// fishValues are what a flag takes; files besides, where that is asked for.
func fishValues(known []string) string {
	switch {
	case known == nil:
		return ""
	case isAsked(known[0]):
		return " -r -a " + single("("+known[0]+" 2>/dev/null)")
	}
	return " -x -a " + single(strings.Join(known, " "))
}
