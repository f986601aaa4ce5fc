package main

// keysCmd is for two kinds of keys that have nothing to do with each other: those that open recordings, which stand in files
// anywhere, by name in the key folder (keys_folder.go), or on a token (token.go); and public keys that may log in on targets
// for a time.
type keysCmd struct {
	Generate   keysGenerateCmd   `cmd:"" group:"opening" help:"Make a key pair that opens recordings."`
	List       keysListCmd       `cmd:"" group:"opening" help:"List your keys, and what recordings are sealed to."`
	Show       keysShowCmd       `cmd:"" group:"opening" help:"Print the recipient line of a key."`
	Passphrase keysPassphraseCmd `cmd:"" group:"opening" help:"Set, change or remove the passphrase of a key."`
	Publish    keysPublishCmd    `cmd:"" group:"publishing" help:"Let an SSH key log in on targets for a stated time."`
	Withdraw   keysWithdrawCmd   `cmd:"" group:"publishing" help:"End that before its time."`
	Published  keysPublishedCmd  `cmd:"" group:"publishing" help:"List SSH keys that may log in, and where."`
	Names      keysNamesCmd      `cmd:"" hidden:"" help:"Print the names in the key folder, for completion."`
	IDs        keysIDsCmd        `cmd:"" name:"ids" hidden:"" help:"Print published keys that may be withdrawn, for completion."`
}

func (*keysCmd) Help() string {
	return `There are two kinds of keys here. Keys that open recordings are made by generate; they open what was recorded, and nobody logs in by them. Published keys are SSH keys of machines that cannot use certificates; they log in on targets for a stated time, and open no recording.
`
}
