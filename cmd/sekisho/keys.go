package main

// keysCmd is for the keys that open recordings. They stand in files anywhere, by name in the key folder
// (keys_folder.go), or on a token (token.go).
type keysCmd struct {
	Generate   keysGenerateCmd   `cmd:"" help:"Make a key pair that opens recordings."`
	List       keysListCmd       `cmd:"" help:"List your keys, and what recordings are sealed to."`
	Show       keysShowCmd       `cmd:"" help:"Print the recipient line of a key."`
	Passphrase keysPassphraseCmd `cmd:"" help:"Set, change or remove the passphrase of a key."`
	Names      keysNamesCmd      `cmd:"" hidden:"" help:"Print the names in the key folder, for completion."`
}
