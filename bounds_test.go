package sekisho_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Each constant that docs/bounds.md names is there and has the value that is written beside it, and each bound of the
// rooms that face the wire is named.
func TestDocsTellTheBounds(t *testing.T) {
	page := read(t, "docs/bounds.md")
	folders := map[string]string{"sekishod": "cmd/sekishod", "spool": "store/spool", "blob": "store/blob", "sekisho": "cmd/sekisho", "keystore": "ca/keystore", "keyfile": "ca/keyfile"}
	rooms := map[string]constants{}
	named := map[string]bool{}
	for line := range strings.Lines(page) {
		cells := strings.Split(line, " | ")
		if len(cells) != 5 {
			continue
		}
		for _, m := range regexp.MustCompile("`([a-z]+)\\.([A-Za-z]+)`").FindAllStringSubmatch(cells[4], -1) {
			room, name := m[1], m[2]
			if rooms[room] == nil {
				folder := room
				if folders[room] != "" {
					folder = folders[room]
				}
				rooms[room] = readConstants(t, folder)
			}
			named[room+"."+name] = true
			value, unit, ok := rooms[room].value(name)
			if !ok {
				t.Errorf("docs/bounds.md names %s.%s, which is no constant", room, name)
			} else if !tells(cells[1], value, unit) {
				t.Errorf("%s.%s is %v, and docs/bounds.md says %q", room, name, shown(value, unit), cells[1])
			}
		}
	}
	bound := regexp.MustCompile(`^(max|early)[A-Z]|Max[A-Z]|(Time|Idle|Patience|Words)$`)
	for _, room := range []string{"gateway", "transfer"} {
		for name := range readConstants(t, room) {
			if bound.MatchString(name) && !strings.HasPrefix(name, "entry") && !named[room+"."+name] {
				t.Errorf("docs/bounds.md does not name %s.%s", room, name)
			}
		}
	}
}

// constants are the expressions of a room's constants, by name.
type constants map[string]ast.Expr

func readConstants(t *testing.T, folder string) constants {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", folder, err)
	}
	all := constants{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				for _, s := range g.Specs {
					v := s.(*ast.ValueSpec)
					for i := range min(len(v.Names), len(v.Values)) {
						all[v.Names[i].Name] = v.Values[i]
					}
				}
			}
		}
	}
	return all
}

// value gives a constant: a number, or a duration whose unit is time.Nanosecond.
func (c constants) value(name string) (n int64, unit time.Duration, ok bool) {
	e, ok := c[name]
	if !ok {
		return 0, 0, false
	}
	return c.eval(e)
}

func (c constants) eval(e ast.Expr) (n int64, unit time.Duration, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseInt(e.Value, 0, 64)
		return n, 0, err == nil
	case *ast.Ident:
		return c.value(e.Name)
	case *ast.ParenExpr:
		return c.eval(e.X)
	case *ast.SelectorExpr:
		d, ok := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}[e.Sel.Name]
		return int64(d), time.Nanosecond, ok
	case *ast.BinaryExpr:
		x, ux, okX := c.eval(e.X)
		y, uy, okY := c.eval(e.Y)
		unit, ok := max(ux, uy), okX && okY
		switch e.Op {
		case token.ADD:
			return x + y, unit, ok
		case token.SUB:
			return x - y, unit, ok
		case token.MUL:
			return x * y, unit, ok
		case token.SHL:
			return x << y, unit, ok
		}
	}
	return 0, 0, false
}

// shown are the forms in which a value may be written.
func shown(n int64, unit time.Duration) (forms []string) {
	add := func(n int64, name string) {
		text := strconv.FormatInt(n, 10)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		forms = append(forms, text+name)
	}
	if unit == 0 {
		add(n, "")
		for name, size := range map[string]int64{" KiB": 1 << 10, " MiB": 1 << 20} {
			if n%size == 0 {
				add(n/size, name)
			}
		}
		return forms
	}
	for name, size := range map[string]time.Duration{" ms": time.Millisecond, " s": time.Second, " min": time.Minute, " h": time.Hour} {
		if n%int64(size) == 0 {
			add(n/int64(size), name)
		}
	}
	return forms
}

func tells(text string, n int64, unit time.Duration) bool {
	for _, form := range shown(n, unit) {
		if regexp.MustCompile(`(^|[^0-9,])` + regexp.QuoteMeta(form) + `($|[^0-9A-Za-z])`).MatchString(text) {
			return true
		}
	}
	return false
}

// The tests and stories that docs/bounds.md names exist.
func TestBoundsAreTried(t *testing.T) {
	var tests strings.Builder
	for _, file := range tree(t, "_test.go") {
		tests.WriteString(read(t, file))
	}
	page := read(t, "docs/bounds.md")
	n := 0
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(page, -1) {
		n++
		if !strings.Contains(tests.String(), "\nfunc "+m[1]+"(") {
			t.Errorf("docs/bounds.md names %s, which is not there", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`([a-z-]+\\.txtar)`").FindAllStringSubmatch(page, -1) {
		n++
		if _, err := fs.Stat(os.DirFS("e2e/testdata"), m[1]); err != nil {
			t.Errorf("docs/bounds.md names the story %s: %v", m[1], err)
		}
	}
	if n < 50 {
		t.Error(fmt.Sprint("only ", n, " are named"))
	}
}
