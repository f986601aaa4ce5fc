package main

import "strings"

// debianPrompt is the prompt that Debian gives people.
const debianPrompt = `PS1='\[\e]0;\u@\h: \w\a\]${debian_chroot:+($debian_chroot)}\[\033[01;32m\]\u@\h\[\033[00m\]:\[\033[01;34m\]\w\[\033[00m\]\$ '` + "\n"

// marks is an integration of our own with the marks that terminals know.
const marks = `PS1='\[\e]133;A\a\]\u@\h:\w\$ \[\e]133;B\a\]'
PS0='\e]133;C\a'
PROMPT_COMMAND='printf "\e]133;D;%s\a\e]7;file://%s%s\a" "$?" "$HOSTNAME" "$PWD"'
`

const zshTwoLines = `setopt PROMPT_SUBST
PROMPT=$'%F{blue}%~%f on %F{magenta}main%f\n%F{green}❯%f '
RPROMPT='%F{242}%T%f'
`

// codeMarks is like what VS Code puts into bash.
const codeMarks = `PS1='\[\e]633;A\a\]\w \$ \[\e]633;B\a\]'
escaped() { local t="${1//\\/\\\\}"; t="${t//;/\\x3b}"; t="${t//$'\n'/\\x0a}"; printf '%s' "$t"; }
PS0='$(printf "\e]633;E;%s\a\e]633;C\a" "$(escaped "$(HISTTIMEFORMAT= history 1 | sed "s/^ *[0-9]* *//")")")'
PROMPT_COMMAND='printf "\e]633;D;%s\a\e]633;P;Cwd=%s\a" "$?" "$PWD"'
`

const zshMarks = `PROMPT=$'%{\e]133;A\a%}%~ %# %{\e]133;B\a%}'
preexec() { print -n '\e]133;C\a' }
precmd() { print -n "\e]133;D;$?\a\e]7;file://$HOST$PWD\a" }
`

// zshTransient makes the prompt short when a line was taken.
const zshTransient = `long=$'%F{blue}%~%f\n%F{green}❯%f '
PROMPT=$long
zle-line-finish() { PROMPT='%# '; zle reset-prompt }
precmd() { PROMPT=$long }
zle -N zle-line-finish
`

var homeFiles = map[string]string{
	"notes.txt":                strings.Repeat("The quick brown fox jumps over the lazy dog.\n", 60),
	"report-2026.csv":          "name,count\nana,3\nben,4\n",
	"projects/web/a.go":        "package web\n",
	"projects/web/b.go":        "package web\n",
	"manual.md":                "# How\n\n$ rm -rf build\n$ make\nalice@web1:~$ false command\n",
	".bashrc":                  "HISTFILE=\n" + debianPrompt + "alias ll='ls -l'\n",
	"marks.bashrc":             "HISTFILE=\n" + marks,
	"plain.bashrc":             "HISTFILE=\nbind 'set enable-bracketed-paste off'\nPS1='\\h:\\w\\$ '\n",
	"fedora.bashrc":            "HISTFILE=\nPS1='[\\u@\\h \\W]\\$ '\n",
	"arrow.bashrc":             "HISTFILE=\nPS1='\\n\\w\\n→ '\n",
	".zshrc":                   "PROMPT='%n@%m:%~%# '\n",
	"two/.zshrc":               zshTwoLines,
	".config/fish/config.fish": "set fish_greeting\nset -U fish_features\n",
	".vimrc":                   "set nocompatible\nsyntax on\n",
	"vi.bashrc":                "HISTFILE=\nset -o vi\n" + debianPrompt,
	"code.bashrc":              "HISTFILE=\n" + codeMarks,
	"marked/.zshrc":            zshMarks,
	"transient/.zshrc":         zshTransient,
	"install.sh":               "#!/bin/sh\nprintf 'Install to /opt? [y/N] '\nread a\nprintf 'Your name: '\nread b\necho \"$a $b\"\n",
	"secret.sh":                "#!/bin/bash\nread -s -p 'Passphrase: ' x\necho\nread -e -p 'Login name: ' y\necho ok\n",
}
