package main

import (
	"fmt"
	"strings"
)

type recordingsShowCmd struct {
	Recording string `arg:"" name:"session|file" help:"Session ID, or a downloaded file."`
	Key       string `suggest:"keys" placeholder:"KEY" help:"Private key (a file, a name in the key folder, or a pkcs11: URI); shows what is sealed in a file, too."`
	JSON      bool   `name:"json" help:"Print JSON."`
}

func (*recordingsShowCmd) Help() string {
	return `Shows what the server keeps about the recording of a session; or, of a downloaded file, what its header says in the clear, and with --key whose session it was. Use verify to learn whether it is genuine.

Examples:

    sekisho recordings show ses_k5xqz7...
    sekisho recordings show ses_k5xqz7....rec --key auditor.key
`
}

func (cmd *recordingsShowCmd) Run(a *app) error {
	info, err := cmd.info(a)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.json(info)
	}
	for _, line := range [][2]string{
		{"Session", info.Session}, {"Person", info.Person}, {"Login", info.Login}, {"Target", info.Target},
		{"State", info.State}, {"Started", local(info.Started)}, {"Ended", local(info.Ended)}, {"From", info.Address},
		{"Size", size(info.Bytes)}, {"Chain", info.Chain}, {"Opens with", strings.Join(info.Recipients, ", ")},
	} {
		if line[1] != "" {
			fmt.Fprintf(a.out, "%-11s %s\n", line[0], plain(line[1]))
		}
	}
	return nil
}

func (cmd *recordingsShowCmd) info(a *app) (recordingInfo, error) {
	if isSession(cmd.Recording) {
		return a.recordingOf(cmd.Recording)
	}
	src, err := a.openRecording(cmd.Recording)
	if err != nil {
		return recordingInfo{}, err
	}
	defer src.close()
	h, err := a.header(src, cmd.Key)
	if err != nil {
		return recordingInfo{}, bad(a.wrongKey(err))
	}
	s := h.Session
	return recordingInfo{
		Session: s.ID, Person: s.Identity.Subject, Target: s.Target, Login: s.Login, Started: s.Started,
		Bytes: src.total, Recipients: h.Recipients, Address: s.ClientAddress,
	}, nil
}
