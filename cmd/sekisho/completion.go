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
	return `Prints a script that completes commands and flags.

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
	files bool // it takes arguments, which may be files

	values map[string][]string // what can follow a flag, by the flag
}

// suggestions are what a flag or argument that is tagged suggest takes, among others.
var suggestions = map[string][]string{"kinds": eventKinds, "kems": kemNames(), "keys": {keyNames}}

// keyNames is a command in place of a word: what it prints is offered, each time anew.
const keyNames = "sekisho keys names 2>/dev/null"

func kemNames() (names []string) {
	for _, kem := range recording.KEMs() {
		names = append(names, kem.String())
	}
	return names
}

// substitute writes a word, or a command that prints words, as bash and zsh want it.
func substitute(word string) string {
	if word == keyNames {
		return "$(" + word + ")"
	}
	return word
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
	this := node{path: path, help: n.Help, files: len(n.Positional) > 0, values: map[string][]string{}}
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			this.flags = append(this.flags, choice{"--" + f.Name, f.Help})
			if values := valuesOf(f.Value); len(values) > 0 {
				this.values["--"+f.Name] = values
			}
		}
	}
	for _, p := range n.Positional {
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

func substituted(values []string) string {
	var list []string
	for _, v := range values {
		list = append(list, substitute(v))
	}
	return strings.Join(list, " ")
}

// described is a choice for zsh.
func described(c choice) string {
	if c.word == keyNames {
		return substitute(c.word)
	}
	return single(c.word + ":" + c.help)
}

func words(choices ...[]choice) string {
	var list []string
	for _, cs := range choices {
		for _, c := range cs {
			list = append(list, substitute(c.word))
		}
	}
	return strings.Join(list, " ")
}

// bash walks the words typed so far down the commands, then offers what can follow.
func bash(nodes []node) string {
	var known, offers, values strings.Builder
	for i, n := range nodes {
		if i > 0 {
			fmt.Fprintf(&known, "|%q", n.path)
		}
		fmt.Fprintf(&offers, "    %q) offer=%q ;;\n", n.path, words(n.below, n.flags))
		for _, flag := range slices.Sorted(maps.Keys(n.values)) {
			fmt.Fprintf(&values, "    %q) offer=%q ;;\n", n.path+" "+flag, substituted(n.values[flag]))
		}
	}
	return `# bash completion for sekisho
_sekisho() {
  local path="" offer="" word next i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    next=${path:+$path }$word
    case "$next" in
    ` + strings.TrimPrefix(known.String(), "|") + `) path=$next ;;
    esac
  done
  case "$path" in
` + offers.String() + `  esac
  case "$path ${COMP_WORDS[COMP_CWORD-1]}" in
` + values.String() + `  esac
  COMPREPLY=($(compgen -W "$offer" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sekisho sekisho
`
}

// single quotes a text for the shells' single quotes.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func zsh(nodes []node) string {
	var known, offers, values strings.Builder
	for i, n := range nodes {
		if i > 0 {
			fmt.Fprintf(&known, "|%q", n.path)
		}
		fmt.Fprintf(&offers, "    %q) offer=(", n.path)
		for _, c := range append(append([]choice{}, n.below...), n.flags...) {
			offers.WriteString(" " + described(c))
		}
		offers.WriteString(" ) ;;\n")
		for _, flag := range slices.Sorted(maps.Keys(n.values)) {
			fmt.Fprintf(&values, "    %q) offer=( %s ) ;;\n", n.path+" "+flag, substituted(n.values[flag]))
		}
	}
	return `#compdef sekisho
_sekisho() {
  local at="" word next
  local -a offer
  for word in "${(@)words[2,CURRENT-1]}"; do
    next=${at:+$at }$word
    case "$next" in
    ` + strings.TrimPrefix(known.String(), "|") + `) at=$next ;;
    esac
  done
  case "$at" in
` + offers.String() + `  esac
  case "$at ${words[CURRENT-1]}" in
` + values.String() + `  esac
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
			word := c.word
			if word == keyNames { // files can stand there, too
				fmt.Fprintf(&b, "complete -c sekisho -n %s -a '(%s)'\n", single(when), word)
				continue
			}
			fmt.Fprintf(&b, "complete -c sekisho -n %s -f -a %s -d %s\n", single(when), word, single(c.help))
		}
		for _, f := range n.flags {
			values := ""
			if known := n.values[f.word]; slices.Equal(known, []string{keyNames}) {
				values = " -r -a '(" + keyNames + ")'"
			} else if known != nil {
				values = " -x -a " + single(strings.Join(known, " "))
			}
			fmt.Fprintf(&b, "complete -c sekisho -n %s -l %s%s -d %s\n", single(when), strings.TrimPrefix(f.word, "--"), values, single(f.help))
		}
	}
	return b.String()
}
