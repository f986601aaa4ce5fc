package main

import (
	"strings"
	"time"
)

const (
	up, down, right, left = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
	pasteOn, pasteOff     = "\x1b[200~", "\x1b[201~"
	ctrlA, ctrlC, ctrlD   = "\x01", "\x03", "\x04"
	ctrlE, ctrlL, ctrlR   = "\x05", "\x0c", "\x12"
	ctrlU, ctrlW, tab     = "\x15", "\x17", "\t"
	escape, del           = "\x1b", "\x7f"
)

// bash puts the lines of a command in one when it remembers them.
const (
	lines   = "for f in a b; do\n  echo $f\ndone"
	oneLine = "for f in a b; do   echo $f; done"
)

var long = "echo " + strings.Repeat("the-quick-brown-fox ", 9) + "end"

var (
	bash       = []string{"bash"}
	bashMarked = []string{"bash", "--rcfile", "marks.bashrc"}
	bashOld    = []string{"bash", "--rcfile", "plain.bashrc"}
	bashFedora = []string{"bash", "--rcfile", "fedora.bashrc"}
	bashArrow  = []string{"bash", "--rcfile", "arrow.bashrc"}
	dash       = []string{"dash"}
	zsh        = []string{"zsh"}
	fish       = []string{"fish"}
	tmux       = []string{"tmux", "-f", "/dev/null", "-L"} // and a name for the server
	screen     = []string{"screen", "-c", "/dev/null"}
)

var stories = []story{
	{name: "bash-simple", group: "shells", argv: bash, play: simple},
	{name: "bash-editing", group: "shells", argv: bash, play: editing},
	{name: "bash-completion", group: "shells", argv: bash, play: completion},
	{name: "bash-old-completion", group: "shells", argv: bashOld, play: completion},
	{name: "bash-multiline", group: "shells", argv: bash, play: multiline},
	{name: "bash-paste", group: "shells", argv: bash, play: paste},
	{name: "bash-long", group: "shells", argv: bash, play: longLines},
	{name: "bash-resize", group: "shells", argv: bash, play: resized},
	{name: "bash-ahead", group: "shells", argv: bash, play: ahead},
	{name: "bash-abort", group: "shells", argv: bash, play: aborted},
	{name: "bash-programs", group: "shells", argv: bash, play: programs},
	{name: "bash-questions", group: "shells", argv: bash, play: questions},
	{name: "bash-nested", group: "shells", argv: bash, play: nested},
	{name: "bash-root", group: "shells", argv: bash, play: root},
	{name: "bash-python", group: "shells", argv: bash, play: python},
	{name: "bash-torn", group: "shells", argv: bash, play: torn},
	{name: "bash-small", group: "shells", cols: 40, rows: 10, argv: bash, play: simple},
	{name: "bash-large", group: "shells", cols: 200, rows: 50, argv: bash, play: simple},
	{name: "bash-fedora", group: "shells", argv: bashFedora, play: simple},
	{name: "bash-arrow", group: "shells", argv: bashArrow, play: simple},
	{name: "bash-arrow-editing", group: "shells", argv: bashArrow, play: editing},
	{name: "bash-old", group: "shells", argv: bashOld, play: simple},
	{name: "bash-old-editing", group: "shells", argv: bashOld, play: editing},
	{name: "bash-old-multiline", group: "shells", argv: bashOld, play: multiline},
	{name: "bash-old-long", group: "shells", argv: bashOld, play: longLines},
	{name: "bash-old-programs", group: "shells", argv: bashOld, play: programs},
	{name: "bash-marks", group: "shells", argv: bashMarked, play: marked},
	{name: "bash-marks-editing", group: "shells", argv: bashMarked, play: editing},
	{name: "bash-marks-multiline", group: "shells", argv: bashMarked, play: multiline},
	{name: "bash-marks-nested", group: "shells", argv: bashMarked, play: nested},
	{name: "bash-marks-ahead", group: "shells", argv: bashMarked, play: ahead},
	{name: "dash-simple", group: "shells", argv: dash, play: simple},
	{name: "dash-multiline", group: "shells", argv: dash, play: multiline},
	{name: "dash-abort", group: "shells", argv: dash, play: abortedPlain},
	{name: "dash-programs", group: "shells", argv: dash, play: programs},
	{name: "zsh-simple", group: "shells", argv: zsh, play: simple},
	{name: "zsh-editing", group: "shells", argv: zsh, play: editing},
	{name: "zsh-multiline", group: "shells", argv: zsh, play: multiline},
	{name: "zsh-paste", group: "shells", argv: zsh, play: paste},
	{name: "zsh-long", group: "shells", argv: zsh, play: longLines},
	{name: "zsh-ahead", group: "shells", argv: zsh, play: ahead},
	{name: "zsh-abort", group: "shells", argv: zsh, play: aborted},
	{name: "zsh-programs", group: "shells", argv: zsh, play: programs},
	{name: "zsh-nested", group: "shells", argv: zsh, play: nested},
	{name: "zsh-resize", group: "shells", argv: zsh, play: resized},
	{name: "zsh-two-lines", group: "shells", env: []string{"ZDOTDIR=/home/alice/zsh-two-lines/two"}, argv: zsh, play: simple},
	{name: "zsh-two-lines-editing", group: "shells", env: []string{"ZDOTDIR=/home/alice/zsh-two-lines-editing/two"}, argv: zsh, play: editing},
	{name: "zsh-two-lines-long", group: "shells", env: []string{"ZDOTDIR=/home/alice/zsh-two-lines-long/two"}, argv: zsh, play: longLines},
	{name: "fish-simple", group: "shells", argv: fish, play: simple},
	{name: "fish-editing", group: "shells", argv: fish, play: fishEditing},
	{name: "fish-suggested", group: "shells", argv: fish, play: suggested},
	{name: "fish-multiline", group: "shells", argv: fish, play: fishMultiline},
	{name: "fish-long", group: "shells", argv: fish, play: longLines},
	{name: "fish-abort", group: "shells", argv: fish, play: aborted},
	{name: "fish-ahead", group: "shells", argv: fish, play: ahead},
	{name: "fish-programs", group: "shells", argv: fish, play: programs},
	{name: "bash-vi", group: "shells", argv: []string{"bash", "--rcfile", "vi.bashrc"}, play: vi},
	{name: "bash-code", group: "shells", argv: []string{"bash", "--rcfile", "code.bashrc"}, play: recalled(oneLine, oneLine)},
	{name: "bash-recalled", group: "shells", argv: bash, play: recalled(lines, oneLine)},
	{name: "bash-old-paste", group: "shells", argv: bashOld, play: pastePlain},
	{name: "zsh-marks", group: "shells", env: []string{"ZDOTDIR=/home/alice/zsh-marks/marked"}, argv: zsh, play: editing},
	{name: "zsh-marks-paste", group: "shells", env: []string{"ZDOTDIR=/home/alice/zsh-marks-paste/marked"}, argv: zsh, play: paste},
	{name: "zsh-recalled", group: "shells", argv: zsh, play: recalled(lines, lines)},
	{name: "zsh-transient", group: "shells", env: []string{"ZDOTDIR=/home/alice/zsh-transient/transient"}, argv: zsh, play: simple},
	{name: "tmux-bash", group: "panes", argv: append(tmux, "tmux-bash", "new", "bash"), play: panes},
	{name: "tmux-zsh", group: "panes", argv: append(tmux, "tmux-zsh", "new", "zsh"), play: panes},
	{name: "tmux-fish", group: "panes", argv: append(tmux, "tmux-fish", "new", "fish"), play: panes},
	{name: "tmux-split", group: "panes", argv: append(tmux, "tmux-split", "new", "bash"), play: split},
	{name: "tmux-inside", group: "panes", argv: bash, play: inside("tmux -f /dev/null -L inside new bash")},
	{name: "screen-bash", group: "panes", argv: append(screen, "bash"), play: panes},
	{name: "screen-inside", group: "panes", argv: bash, play: inside("screen -c /dev/null bash")},
}

// simple is what people do most.
func simple(d *driver) {
	d.line("ls")
	d.line("pwd")
	d.line("cd projects/web")
	d.line("ls -la | head -3")
	d.line("cd")
	d.line("grep -c fox notes.txt")
	d.line("echo 'one two' \"three\"")
	d.line("cat manual.md")
	d.burst("uname -s")
	d.enter("")
	d.line("printf no-newline")
	d.line("echo after")
	d.burst("echo äöü 関所 🗻")
	d.line("nosuchcommand")
	d.line("true && false || echo no")
	d.line("seq 1 50")
	d.line("clear")
	d.line("echo cleared")
	d.answer("")
	d.line("date > today; wc -l today")
	d.line("PS9=x")
	d.line("cat notes.txt | sort | uniq -c")
	d.line("  echo spaces")
	d.expect[len(d.expect)-1].Text = "  echo spaces"
	d.line("find / -maxdepth 1 -name 'b*'")
	d.line("echo done")
}

// editing is what line editors do.
func editing(d *driver) {
	d.line("echo first")
	d.line("echo second thing")
	d.raw(up)
	d.enter("echo second thing")
	d.raw(up, up, up)
	d.enter("echo first")
	d.typed("echo wrold")
	d.raw(del, del, del, del)
	d.typed("orld")
	d.enter("echo world")
	d.typed("cho middle")
	d.raw(ctrlA)
	d.typed("e")
	d.enter("echo middle")
	d.typed("echo abd")
	d.raw(left)
	d.typed("c")
	d.raw(ctrlE)
	d.enter("echo abcd")
	d.typed("rm -rf /nothing")
	d.raw(ctrlU)
	d.typed("echo kept")
	d.enter("echo kept")
	d.typed("echo one two")
	d.raw(ctrlW)
	d.typed("three")
	d.enter("echo one three")
	d.typed("cat rep")
	d.raw(tab)
	d.enter("cat report-2026.csv")
	d.typed("ls pro")
	d.raw(tab)
	d.typed("w")
	d.raw(tab)
	d.typed("a.go")
	d.enter("ls projects/web/a.go")
	d.typed("cat projects/web/")
	d.raw(tab)
	d.typed("b.go")
	d.settle()
	d.enter("cat projects/web/b.go")
	d.raw(ctrlR)
	d.typed("wor")
	d.settle()
	d.enter("echo world")
	d.raw(ctrlR)
	d.typed("thing")
	d.raw(ctrlE)
	d.typed("s")
	d.settle()
	d.enter("echo second things")
	d.typed("echo before")
	d.raw(ctrlL)
	d.typed(" after")
	d.enter("echo before after")
	d.line("ls")
	d.raw(up)
	d.typed(" -l")
	d.enter("ls -l")
	d.keys("echo fast")
	d.keys("er\r")
	d.will("echo faster")
	d.settle()
	d.line("echo done")
}

// completion lists what could follow, above a new prompt.
func completion(d *driver) {
	d.line("echo start")
	d.typed("cat projects/web/")
	d.raw(tab, tab)
	d.typed("a.go")
	d.settle()
	d.enter("cat projects/web/a.go")
	d.typed("ls ")
	d.raw(tab, tab)
	d.settle()
	d.typed("rep")
	d.raw(tab)
	d.enter("ls report-2026.csv")
	d.line("seq 1 30")
	d.typed("cat notes")
	d.raw(tab, tab)
	d.typed("| tail -1")
	d.enter("cat notes.txt | tail -1")
	d.typed("ls -d /usr/share/doc/lib")
	d.raw(tab, tab)
	d.settle()
	d.typed("n")
	d.settle()
	d.typed("c-bin")
	d.settle()
	d.raw(ctrlU)
	d.line("echo done")
}

func multiline(d *driver) {
	d.line("echo start")
	d.typed("for i in 1 2; do")
	d.keys("\r")
	d.settle()
	d.typed("echo $i")
	d.keys("\r")
	d.settle()
	d.typed("done")
	d.enter("for i in 1 2; do\necho $i\ndone")
	d.typed("cat <<EOF")
	d.keys("\r")
	d.settle()
	d.typed("first line")
	d.keys("\r")
	d.settle()
	d.typed("second line")
	d.keys("\r")
	d.settle()
	d.typed("EOF")
	d.enter("cat <<EOF\nfirst line\nsecond line\nEOF")
	d.typed("echo 'open")
	d.keys("\r")
	d.settle()
	d.typed("closed'")
	d.enter("echo 'open\nclosed'")
	d.typed(`echo a \`)
	d.keys("\r")
	d.settle()
	d.typed("b")
	d.enter("echo a \\\nb")
	d.typed("true &&")
	d.keys("\r")
	d.settle()
	d.typed("echo and")
	d.enter("true &&\necho and")
	d.line("true")
	d.line("echo done")
}

func paste(d *driver) {
	d.line("echo start")
	d.keys(pasteOn + "echo pasted" + pasteOff)
	d.settle()
	d.enter("echo pasted")
	d.keys(pasteOn + "echo one\recho two\recho three" + pasteOff)
	d.settle()
	d.enter("echo one\necho two\necho three")
	d.keys("echo un\recho bracketed\r")
	d.will("echo un")
	d.will("echo bracketed")
	d.settle()
	d.keys("cd /etc\rls -d ssh\rcd\r")
	d.will("cd /etc")
	d.will("ls -d ssh")
	d.will("cd")
	d.settle()
	d.typed("echo ")
	d.keys(pasteOn + "'in the middle'" + pasteOff)
	d.typed(" end")
	d.enter("echo 'in the middle' end")
	d.keys(pasteOn + "for f in a b\rdo\r  echo $f\rdone" + pasteOff)
	d.settle()
	d.enter("for f in a b\ndo\n  echo $f\ndone")
	d.line("echo done")
}

func longLines(d *driver) {
	d.line("echo start")
	d.line(long)
	d.burst(long + " more")
	d.line("echo " + strings.Repeat("x", 200))
	d.raw(up)
	d.enter("echo " + strings.Repeat("x", 200))
	d.typed(long)
	d.raw(ctrlA)
	d.settle()
	d.typed("true; ")
	d.settle()
	d.enter("true; " + long)
	d.line("echo " + strings.Repeat("関所", 40))
	d.line("ls")
	d.line("seq 1 30")
	d.line(long)
	d.line("echo done")
}

func resized(d *driver) {
	d.line("echo start")
	d.line(long)
	d.resize(100, 30)
	d.line("echo wider")
	d.line(long)
	d.typed("echo half of")
	d.resize(60, 20)
	d.typed(" it")
	d.enter("echo half of it")
	d.line("echo narrower")
	d.typed(strings.TrimSuffix(long, " end"))
	d.settle()
	d.resize(120, 40)
	d.typed(" end")
	d.enter(long)
	d.line("echo wide")
	d.resize(80, 24)
	d.line("seq 1 40")
	d.resize(80, 12)
	d.line("echo low")
	d.resize(80, 40)
	d.line("echo high")
	d.line("echo done")
}

func ahead(d *driver) {
	d.line("echo start")
	d.line("cd projects")
	d.keys("sleep 1\r")
	d.will("sleep 1")
	time.Sleep(300 * time.Millisecond)
	d.typed("echo ahead")
	d.keys("\r")
	d.will("echo ahead")
	time.Sleep(1200 * time.Millisecond)
	d.settle()
	d.line("echo between")
	d.keys("sleep 1\r")
	d.will("sleep 1")
	time.Sleep(200 * time.Millisecond)
	d.typed("echo half")
	time.Sleep(1200 * time.Millisecond)
	d.settle()
	d.typed(" and half")
	d.enter("echo half and half")
	d.keys("cd /etc; sleep 1\r")
	d.will("cd /etc; sleep 1")
	time.Sleep(200 * time.Millisecond)
	d.keys("ls -d ssh\r")
	d.will("ls -d ssh")
	d.keys("pwd\r")
	d.will("pwd")
	time.Sleep(1200 * time.Millisecond)
	d.settle()
	d.line("echo done")
}

func aborted(d *driver) {
	d.line("echo start")
	d.typed("rm -rf /nothing")
	d.raw(ctrlC)
	d.settle()
	d.line("echo next")
	d.raw(ctrlC, ctrlC)
	d.line("echo third")
	d.keys("sleep 30\r")
	d.will("sleep 30")
	d.settle()
	d.raw(ctrlC)
	d.settle()
	d.line("echo fourth")
	d.typed("rm -rf /nothing")
	d.raw(ctrlC)
	d.typed("echo instead")
	d.enter("echo instead")
	d.typed("rm x")
	d.raw(ctrlU)
	d.enter("")
	d.typed("cat")
	d.enter("cat")
	d.answer("not a command")
	d.answer("ls")
	d.raw(ctrlD)
	d.settle()
	d.line("echo done")
}

func abortedPlain(d *driver) {
	d.line("echo start")
	d.typed("rm -rf /nothing")
	d.raw(ctrlC)
	d.settle()
	d.line("echo next")
	d.typed("for i in 1 2")
	d.keys("\r")
	d.settle()
	d.raw(ctrlC)
	d.settle()
	d.line("echo third")
	d.typed("echo wrong")
	d.raw(del, del, del, del, del)
	d.typed("right")
	d.enter("echo right")
	d.line("cat")
	d.answer("not a command")
	d.raw(ctrlD)
	d.settle()
	d.line("cat > written")
	d.answer("ls -l")
	d.raw(ctrlD)
	d.settle()
	d.line("echo done")
}

func programs(d *driver) {
	d.line("echo start")
	d.line("vim notes.txt")
	d.raw("i")
	d.typed("# echo in vim")
	d.raw("\r")
	d.typed("$ ls in vim")
	d.raw("\r", escape)
	d.typed(":set nu")
	d.raw("\r")
	d.typed("/lazy")
	d.raw("\r")
	d.typed(":q!")
	d.raw("\r")
	d.settle()
	d.line("echo after vim")
	d.line("less notes.txt")
	d.raw(" ", "\r", "\r")
	d.typed("/fox")
	d.raw("\r", "q")
	d.settle()
	d.line("man true")
	d.raw("\r", "\r", "q")
	d.settle()
	d.line("nano notes.txt")
	d.typed("hello")
	d.raw("\r", "\x18", "n")
	d.settle()
	d.line("top -n 1 -b -u bob | head -3")
	d.line("more notes.txt")
	d.raw("\r", " ", "q")
	d.settle()
	d.line("top -u bob")
	d.raw("\r", "q")
	d.settle()
	d.line("echo done")
}

func questions(d *driver) {
	d.line("sh install.sh")
	d.answer("y")
	d.answer("alice")
	d.line("bash secret.sh")
	d.answer("hunter2")
	d.answer("alice")
	d.line("read -p 'Go on? ' x")
	d.answer("yes")
	d.line("cat > file")
	d.answer("ls")
	d.answer("$ ls")
	d.raw(ctrlD)
	d.settle()
	d.line("rm -i file")
	d.answer("y")
	d.line("sudo -k id")
	d.answer("wrong password")
	time.Sleep(4 * time.Second)
	d.answer("open sesame")
	d.line("su bob -c id")
	d.answer("rosebud")
	d.line("passwd")
	d.answer("no")
	time.Sleep(4 * time.Second)
	d.settle()
	d.line("select x in one two; do echo $x; break; done")
	d.answer("1")
	d.line("echo done")
}

func nested(d *driver) {
	d.line("echo outer")
	d.line("bash --norc")
	d.line("echo inner")
	d.line("cd /etc")
	d.line("ls -d ssh")
	d.line("exit")
	d.line("echo outer again")
	d.line("dash")
	d.line("echo in dash")
	d.line("cd /usr")
	d.typed("for i in 1")
	d.keys("\r")
	d.settle()
	d.typed("do echo $i; done")
	d.enter("for i in 1\ndo echo $i; done")
	d.line("exit")
	d.line("zsh")
	d.line("echo in zsh")
	d.line("exit")
	d.line("fish")
	d.line("echo in fish")
	d.line("bash")
	d.line("echo in bash in fish")
	d.raw(ctrlD)
	d.settle()
	d.line("exit")
	d.line("sh")
	d.line("id")
	d.raw(ctrlD)
	d.settle()
	d.line("echo done")
}

func root(d *driver) {
	d.lineIn("~", "echo start")
	d.line("sudo -i")
	d.answer("open sesame")
	d.line("id")
	d.line("cd /root")
	d.line("exit")
	d.line("su - bob")
	d.answer("rosebud")
	d.line("whoami")
	d.line("exit")
	d.line("sudo -s")
	d.line("whoami")
	d.line("su bob")
	d.line("whoami")
	d.line("cd /tmp")
	d.line("exit")
	d.line("exit")
	d.line("sudo dash")
	d.line("id -u")
	d.line("exit")
	d.line("cd /etc")
	d.lineIn("/etc", "echo done")
}

func python(d *driver) {
	d.line("echo start")
	d.line("python3")
	time.Sleep(time.Second)
	d.program("x = 1")
	d.program("print(x)")
	d.typed("for i in range(2):")
	d.keys("\r")
	d.settle()
	d.typed("    print(i)")
	d.keys("\r")
	d.settle()
	d.will("for i in range(2):\n    print(i)")
	d.expect[len(d.expect)-1].Program = true
	d.enter("")
	d.program("exit()")
	d.line("python3 -c 'print(1)'")
	d.line("bc")
	d.answer("1+1")
	d.raw(ctrlD)
	d.settle()
	d.line("echo done")
}

// torn has output come in the middle of a line.
func torn(d *driver) {
	d.line("echo start")
	d.line("(sleep 1.5; echo noise) &")
	d.typed("echo one")
	time.Sleep(1500 * time.Millisecond)
	d.raw(ctrlL)
	d.typed(" two")
	d.enter("echo one two")
	d.line("(sleep 1; echo noise) &")
	time.Sleep(1 * time.Second)
	d.line("echo three")
	d.line("(sleep 1.5; printf 'noise\\nmore noise\\n') &")
	d.typed("echo fo")
	time.Sleep(1500 * time.Millisecond)
	d.typed("ur")
	d.enter("echo four")
	d.line("echo done")
}

func marked(d *driver) {
	home := "/home/alice/bash-marks"
	d.exits(0, "ls")
	d.lineIn(home, "cd projects")
	d.lineIn(home+"/projects", "pwd")
	d.exits(1, "false")
	d.exits(127, "nosuchcommand")
	d.exits(3, "sh -c 'exit 3'")
	d.enter("")
	d.typed("rm -rf /nothing")
	d.raw(ctrlC)
	d.settle()
	d.exits(0, "echo after")
	d.lineIn(home+"/projects", "cd /etc")
	d.exits(0, "cat ~/manual.md")
	d.keys("sleep 1\r")
	d.will("sleep 1")
	time.Sleep(100 * time.Millisecond)
	d.keys("echo ahead\r")
	d.will("echo ahead")
	time.Sleep(1200 * time.Millisecond)
	d.settle()
	d.exits(0, "vim -c q ~/notes.txt")
	d.lineIn("/etc", "echo done")
}

func fishEditing(d *driver) {
	d.line("echo first")
	d.line("echo second thing")
	d.raw(up)
	d.enter("echo second thing")
	d.typed("echo wrold")
	d.raw(del, del, del, del)
	d.typed("orld")
	d.enter("echo world")
	d.typed("cho middle")
	d.raw(ctrlA)
	d.typed("e")
	d.enter("echo middle")
	d.typed("echo abd")
	d.raw(left)
	d.typed("c")
	d.enter("echo abcd")
	d.typed("rm -rf /nothing")
	d.raw(ctrlU)
	d.typed("echo kept")
	d.enter("echo kept")
	d.typed("cat rep")
	d.raw(tab)
	d.settle()
	d.enter("cat report-2026.csv")
	d.typed("ls projects/web/")
	d.raw(tab)
	d.settle()
	d.raw(escape)
	d.settle()
	d.enter("ls projects/web/")
	d.typed("echo before")
	d.raw(ctrlL)
	d.typed(" after")
	d.enter("echo before after")
	d.line("echo done")
}

// suggested has fish show what it thinks the rest of the line is.
func suggested(d *driver) {
	d.line("echo one two three")
	d.line("ls -la projects")
	d.line("echo one")
	d.line("ls")
	d.typed("echo one t")
	d.settle()
	d.enter("echo one t")
	d.typed("echo one two")
	d.settle()
	d.enter("echo one two")
	d.typed("ls -l")
	d.settle()
	d.raw(right)
	d.enter("ls -la projects")
	d.burst("ls -l")
	d.typed("cat notes")
	d.settle()
	d.raw(ctrlC)
	d.settle()
	d.line("echo done")
}

func fishMultiline(d *driver) {
	d.line("echo start")
	d.typed("for i in 1 2")
	d.keys("\r")
	d.settle()
	d.typed("echo $i")
	d.keys("\r")
	d.settle()
	d.typed("end")
	d.enter("for i in 1 2\n    echo $i\nend")
	d.typed("echo 'open")
	d.keys("\r")
	d.settle()
	d.typed("closed'")
	d.enter("echo 'open\nclosed'")
	d.typed(`echo a \`)
	d.keys("\r")
	d.settle()
	d.typed("b")
	d.enter("echo a \\\n    b")
	d.keys(pasteOn + "echo one\recho two" + pasteOff)
	d.settle()
	d.enter("echo one\necho two")
	d.keys("echo un\recho bracketed\r")
	d.will("echo un")
	d.will("echo bracketed")
	d.settle()
	d.raw(up, up, up)
	d.enter("echo one\necho two")
	d.line("echo done")
}

// panes is what people do in tmux and screen.
func panes(d *driver) {
	d.settle()
	d.line("echo start")
	d.line("ls")
	d.line("cd projects/web")
	d.line("pwd")
	d.burst("uname -s")
	d.line("seq 1 40")
	d.line("echo after")
	d.line(long)
	d.raw(up, up)
	d.enter("echo after")
	d.typed("echo wrold")
	d.raw(del, del, del, del)
	d.typed("orld")
	d.enter("echo world")
	d.line("vim -c 'set nonu' a.go")
	d.raw("i")
	d.typed("func x")
	d.raw("\r", escape)
	d.typed(":q!")
	d.raw("\r")
	d.settle()
	d.typed("rm -rf /nothing")
	d.raw(ctrlC)
	d.settle()
	d.enter("")
	d.line("clear")
	d.line("echo cleared")
	d.line("cat a.go b.go")
	d.line("echo done")
}

func split(d *driver) {
	d.settle()
	d.line("echo one")
	d.raw("\x02", "%")
	d.settle()
	d.line("echo right")
	d.line("ls")
	d.line("seq 1 30")
	d.line("echo right again")
	d.raw("\x02", "\"")
	d.settle()
	d.line("echo below")
	d.line("pwd")
	d.line("seq 1 30")
	d.line("echo below again")
	d.raw("\x02", "o")
	d.settle()
	d.line("echo left")
	d.line("ls")
	d.line("seq 1 30")
	d.line("echo done")
}

// inside begins in a shell that starts the multiplexer.
func inside(start string) func(*driver) {
	return func(d *driver) {
		d.line("echo outside")
		d.line(start)
		d.raw("\r")
		d.settle()
		d.line("echo inside")
		d.line("ls")
		d.line("cd /etc")
		d.line("echo still inside")
		d.line("exit")
		d.line("echo outside again")
		d.line("echo done")
	}
}

// vi edits as vi does.
func vi(d *driver) {
	d.line("echo first")
	d.typed("echo helo")
	d.raw(escape)
	d.typed("i")
	d.typed("l")
	d.enter("echo hello")
	d.raw(escape)
	d.typed("kk")
	d.enter("echo first")
	d.typed("echo a b c")
	d.raw(escape)
	d.typed("bbdw")
	d.enter("echo b c")
	d.raw(escape)
	d.typed("/hel")
	d.keys("\r")
	d.settle()
	d.enter("echo hello")
	d.line("ls -l | wc -l")
	d.line("echo done")
}

// recalled takes commands of several lines from the history.
func recalled(first, again string) func(*driver) {
	return func(d *driver) { recall(d, first, again) }
}

func recall(d *driver, first, again string) {
	d.line("echo start; echo two")
	d.keys(pasteOn + "for f in a b; do\r  echo $f\rdone" + pasteOff)
	d.settle()
	d.enter(first)
	d.line("cd projects")
	d.line("ls")
	d.raw(up, up, up)
	d.enter(again)
	d.raw(up, up, up, up, up, up)
	d.raw(down, down)
	d.raw(ctrlU)
	d.raw(ctrlC)
	d.settle()
	d.line("echo back; pwd")
	d.line("cat ../manual.md")
	d.line("(sleep 0.2; echo slow) & wait")
	d.line("stty -echo; read x; stty echo")
	d.answer("unseen")
	d.line("echo done")
}

// pastePlain pastes where the shell knows of no brackets.
func pastePlain(d *driver) {
	d.line("echo start")
	d.keys("echo one\r")
	d.will("echo one")
	d.settle()
	d.keys("echo un\recho bracketed\r")
	d.will("echo un")
	d.will("echo bracketed")
	d.settle()
	d.typed("echo ")
	d.keys("'in the middle'")
	d.typed(" end")
	d.enter("echo 'in the middle' end")
	d.line("echo done")
}
