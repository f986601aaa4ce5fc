package db

import "strings"

// rebind spells PostgreSQL's $N as SQLite's ?N. The statements hold no dollar sign elsewhere.
func rebind(text string) string { return strings.ReplaceAll(text, "$", "?") }

// sqliteTypes are the column types for which the engines have different words.
var sqliteTypes = strings.NewReplacer(
	"{{blob}}", "BLOB",
	"{{seq}}", "INTEGER", // with PRIMARY KEY: the row's own number, no second index
)
