package transfer

import (
	"path"
	"strings"
)

// Command is a command line that is known to move files, as it is run through exec.
type Command struct {
	// Protocol is SFTP, SCP or Rsync.
	Protocol string
	// Sender says that the target sends: a download. It says nothing for SFTP.
	Sender bool
	// Options are the program's words before the paths, as it gets them; for rsync those after --server and --sender.
	Options []string
	// Paths are the program's paths as the shell takes them: without quotes, patterns and ~ as they were written. There is
	// one for an upload. Rsync has none when they come over its input (--secluded-args).
	Paths []string
}

// ParseCommand tells which command lines are the far end of SFTP, scp or rsync, and what they say. It knows simple
// commands only: one program, words, quotes, for paths patterns. Whatever a shell could take for anything else is not
// recognised, and neither are options that it does not know: such a command is recorded as any other. A program is known
// by its name and may have a path; that it is what its name says is for the Watcher to find out. A leading sudo is
// allowed with -n, -H, -E, -u and -g.
func ParseCommand(command string) (Command, bool) {
	words, ok := shellWords(command)
	if !ok {
		return Command{}, false
	}
	if words, ok = afterSudo(words); !ok || len(words) == 0 || words[0].pattern {
		return Command{}, false
	}
	switch program, args := words[0].text, words[1:]; path.Base(program) {
	case "scp":
		return scpCommand(args)
	case "rsync":
		return rsyncCommand(args)
	case "sftp-server":
		return sftpCommand(args)
	}
	return Command{}, false
}

// afterSudo leaves out a leading sudo and its options.
func afterSudo(words []shellWord) ([]shellWord, bool) {
	if len(words) == 0 || words[0].pattern || path.Base(words[0].text) != "sudo" {
		return words, true
	}
	words = words[1:]
	for len(words) > 0 && strings.HasPrefix(words[0].text, "-") {
		option := words[0].text
		words = words[1:]
		switch option {
		case "--":
			return words, true
		case "-n", "-H", "-E":
		case "-u", "-g":
			if len(words) == 0 {
				return nil, false
			}
			words = words[1:]
		default:
			return nil, false
		}
	}
	return words, true
}

// scpCommand reads scp's words (rcp's: -t to, -f from).
func scpCommand(words []shellWord) (Command, bool) {
	c := Command{Protocol: SCP}
	ways := 0
	for len(words) > 0 && strings.HasPrefix(words[0].text, "-") {
		option := words[0]
		words = words[1:]
		if option.text == "--" {
			break
		}
		if option.pattern || strings.Trim(option.text[1:], "tfrpdvq") != "" || option.text == "-" {
			return Command{}, false
		}
		ways += strings.Count(option.text, "t") + strings.Count(option.text, "f")
		c.Sender = c.Sender || strings.Contains(option.text, "f")
		c.Options = append(c.Options, option.text)
	}
	c.Paths = texts(words)
	return c, ways == 1 && len(c.Paths) > 0 && (c.Sender || len(c.Paths) == 1)
}

// sftpCommand takes an SFTP server with the options of OpenSSH's that leave it one.
func sftpCommand(words []shellWord) (Command, bool) {
	c := Command{Protocol: SFTP, Options: texts(words)}
	for i := 0; i < len(words); i++ {
		if words[i].pattern {
			return Command{}, false
		}
		switch words[i].text {
		case "-e", "-R":
		case "-d", "-f", "-l", "-P", "-p", "-u":
			i++
		default:
			return Command{}, false
		}
		if i >= len(words) || words[i].pattern {
			return Command{}, false
		}
	}
	return c, true
}

// rsyncCommand takes an rsync that was started by another, but no daemon.
func rsyncCommand(words []shellWord) (Command, bool) {
	if len(words) == 0 || words[0].text != "--server" {
		return Command{}, false
	}
	c := Command{Protocol: Rsync}
	words = words[1:]
	if len(words) > 0 && words[0].text == "--sender" {
		c.Sender = true
		words = words[1:]
	}
	options, n, ok := readRsyncOptions(texts(words))
	if !ok {
		return Command{}, false
	}
	for _, w := range words[:n] {
		if w.pattern {
			return Command{}, false
		}
	}
	if c.Options = texts(words[:n]); options.secluded {
		return c, n == len(words)
	}
	c.Paths, ok = rsyncPaths(texts(words[n:]), c.Sender)
	return c, ok
}

func texts(words []shellWord) []string {
	var all []string
	for _, w := range words {
		all = append(all, w.text)
	}
	return all
}
