package sekisho_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/sekisho/sekisho"

// The floors of the house (docs/decisions/0001). Imports go down only.
var floors = map[string]int{
	"":          0,
	"policy":    1,
	"recording": 1,
	"transfer":  1,
	"terminal":  1,
	"pkcs11uri": 1,
	"krl":       1,
	"login":     2,
	"ca":        2,
	"approval":  2,
	"audit":     2,
	"api":       2,
	"client":    2,
	"host":      2,
	"replay":    2,
	"gateway":   3,
	"tunnel":    3,
	"control":   3,
	"store":     4,
	"cmd":       5,
	"e2e":       5,
	"bench":     5,
	"dev":       5,
	"console":   5,
}

// What a room must never import directly, with the reason.
var forbidden = map[string]map[string]string{
	"": {"*": "the nouns stand on the standard library only"},
	"policy": {
		"net": "decisions are pure", "os": "decisions are pure", "database/sql": "decisions are pure",
		"log/slog": "decisions are pure", "net/http": "decisions are pure",
	},
	"transfer": {
		"net": "bytes in, bytes out", "os": "bytes in, bytes out", "log/slog": "bytes in, bytes out", "net/http": "bytes in, bytes out",
	},
	"terminal": {
		"net": "bytes in, bytes out", "os": "bytes in, bytes out", "log/slog": "bytes in, bytes out", "net/http": "bytes in, bytes out",
	},
	"krl": {
		"net": "bytes in, bytes out", "os": "bytes in, bytes out", "log/slog": "bytes in, bytes out", "net/http": "bytes in, bytes out",
	},
	"replay": {
		"net": "bytes in, bytes out", "os": "bytes in, bytes out", "log/slog": "bytes in, bytes out", "net/http": "bytes in, bytes out",
	},
	"pkcs11uri": {
		"net": "a URI is read, nothing is opened", "os": "a URI is read, nothing is opened", "log/slog": "a URI is read, nothing is opened", "net/http": "a URI is read, nothing is opened",
	},
	"recording": {
		"net": "bytes in, bytes out", "os": "bytes in, bytes out", "database/sql": "bytes in, bytes out",
		"log/slog": "bytes in, bytes out", "net/http": "bytes in, bytes out",
	},
}

// Rooms that may use rooms above or beside them by exception, each with its reason.
var allowed = map[[2]string]string{
	{"client", "api"}: "the client's end speaks the contract",
	{"host", "api"}:   "the host's duties are stated in the contract's words",
}

func room(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, module)
	if !ok {
		return "", false
	}
	rest = strings.TrimPrefix(rest, "/")
	room, _, _ := strings.Cut(rest, "/")
	return room, true
}

func TestFloors(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		from, _ := room(fields[0])
		floor, known := floors[from]
		if !known {
			t.Errorf("room %q has no floor: add it to the table and say why in docs/decisions", from)
			continue
		}
		for _, imp := range fields[1:] {
			if why, ok := forbidden[from][imp]; ok {
				t.Errorf("%s imports %s: %s", fields[0], imp, why)
			}
			to, ours := room(imp)
			if !ours {
				if _, std := forbidden[from]["*"]; std && strings.Contains(strings.Split(imp, "/")[0], ".") {
					t.Errorf("%s imports %s: %s", fields[0], imp, forbidden[from]["*"])
				}
				continue
			}
			if to == from {
				continue
			}
			if _, ok := allowed[[2]string{from, to}]; ok {
				continue
			}
			switch above := floors[to]; {
			case above == 5:
				t.Errorf("%s imports %s: wiring is not imported", fields[0], imp)
			case above > floor:
				t.Errorf("%s (floor %d) imports %s (floor %d): imports go down", fields[0], floor, imp, above)
			case above == floor && floor < 5:
				t.Errorf("%s imports %s: rooms on one floor do not import each other", fields[0], imp)
			}
			if from == "gateway" && floors[to] > 1 {
				t.Errorf("%s imports %s: the gateway uses floors 0 and 1 only", fields[0], imp)
			}
			if floor == 4 && floors[to] == 3 {
				t.Errorf("%s imports %s: cellars never touch doors", fields[0], imp)
			}
			if floor == 3 && floors[to] == 4 {
				t.Errorf("%s imports %s: doors never touch the store", fields[0], imp)
			}
		}
	}
}

// What each binary must not link, so that a stolen or broken one cannot do more than its part.
var unlinked = map[string][]string{
	"sekisho-connector": {"ca", "policy", "store", "login", "control", "gateway", "recording"},
	"sekisho":           {"control", "ca", "store", "gateway", "policy"},
}

func TestLinks(t *testing.T) {
	for name, rooms := range unlinked {
		out, err := exec.Command("go", "list", "-deps", module+"/cmd/"+name).Output()
		if err != nil {
			t.Errorf("go list -deps cmd/%s: %v", name, err)
			continue
		}
		for _, dep := range strings.Fields(string(out)) {
			to, ours := room(dep)
			if !ours {
				continue
			}
			for _, r := range rooms {
				if to == r {
					t.Errorf("%s links %s", name, dep)
				}
			}
		}
	}
}
