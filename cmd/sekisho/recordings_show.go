package main

import (
	"errors"
	"fmt"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

type recordingsShowCmd struct {
	Recording string   `arg:"" name:"session|file" suggest:"recorded" help:"Session ID, or a downloaded file."`
	Key       string   `suggest:"keys" placeholder:"KEY" help:"Private key (a file, a name in the key folder, or a pkcs11: URI); shows what is sealed, too."`
	Signer    []string `sep:"none" placeholder:"LINE" help:"With --key: public key line of a gateway to trust, instead of those learned at login."`
	JSON      bool     `name:"json" help:"Print JSON."`
}

func (*recordingsShowCmd) Help() string {
	return `Shows what the server keeps about the recording of a session; or, of a downloaded file, what its header says in the clear. With --key it is opened and read through: whose session it was, how strictly it was recorded, how long it lasts, how many commands were run, whether keystrokes are kept. How many segments there are is counted in a file without a key, too. Use verify to learn whether it is genuine.

Examples:

    sekisho recordings show ses_k5xqz7...
    sekisho recordings show ses_k5xqz7....rec --key auditor.key
`
}

// shownRecording is a recording as show --json has it.
type shownRecording struct {
	recordingInfo
	Keys []keyShown `json:"keys"`
	// Segments is 0 where that is not known: of a session, without a key.
	Segments int `json:"segments,omitempty"`
	// The fields below are known with a key only.

	Mode     string  `json:"mode,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
	Commands *int    `json:"commands,omitempty"`
	// Keystrokes is how many bytes of what was typed are kept.
	Keystrokes *int64 `json:"keystroke_bytes,omitempty"`
}

// keyShown is a key that opens a recording, with the label that is known here.
type keyShown struct {
	ID    string `json:"id"`
	Label string `json:"label,omitempty"`
}

func (cmd *recordingsShowCmd) Run(a *app) error {
	info, err := cmd.info(a)
	if err != nil && (info.Session == "" || !errors.Is(err, recording.ErrCut)) {
		return err
	}
	labels := a.labels()
	for _, id := range info.Recipients {
		info.Keys = append(info.Keys, keyShown{id, labels[id]})
	}
	if cmd.JSON {
		return errors.Join(a.json(info), err)
	}
	for _, line := range [][2]string{
		{"Session", info.Session}, {"Person", info.Person}, {"Login", info.Login}, {"Target", info.Target},
		{"State", info.State}, {"Started", local(info.Started)}, {"Ended", local(info.Ended)}, {"From", info.Address},
		{"Recorded", info.Mode}, {"Lasts", info.length()}, {"Commands", info.commands()}, {"Keystrokes", info.keystrokes()},
		{"Size", size(info.Bytes)}, {"Segments", info.segments()}, {"Chain", info.Chain}, {"Opens with", a.labelled(info.Recipients)},
	} {
		if line[1] != "" {
			fmt.Fprintf(a.out, "%-11s %s\n", line[0], plain(line[1]))
		}
	}
	return err
}

func (s *shownRecording) length() string {
	if s.Commands == nil {
		return ""
	}
	return replay.Clock(seconds(s.Seconds))
}

func (s *shownRecording) commands() string {
	if s.Commands == nil {
		return ""
	}
	return fmt.Sprint(*s.Commands)
}

func (s *shownRecording) keystrokes() string {
	switch {
	case s.Keystrokes == nil:
		return ""
	case *s.Keystrokes == 0:
		return "none kept"
	}
	return "kept, " + size(*s.Keystrokes)
}

func (s *shownRecording) segments() string {
	if s.Segments == 0 {
		return ""
	}
	return fmt.Sprint(s.Segments)
}

// info collects what is known; with a key, an error that wraps ErrCut comes with what could be read.
func (cmd *recordingsShowCmd) info(a *app) (info shownRecording, err error) {
	if isSession(cmd.Recording) {
		if info.recordingInfo, err = a.recordingOf(cmd.Recording); err != nil || cmd.Key == "" {
			return info, err
		}
	}
	src, err := a.openRecording(cmd.Recording)
	if err != nil {
		return info, err
	}
	defer src.close()
	if cmd.Key == "" {
		there, err := recording.Intact(src)
		info.fill(there.Header, src.total)
		if there.Frames > 0 {
			info.Segments = there.Segment.Index + 1
		}
		return info, bad(err)
	}
	r, err := a.reader(src, cmd.Key, cmd.Signer)
	if err != nil {
		return info, err
	}
	info.fill(r.Header(), src.total)
	return info, src.bad(info.read(r))
}

// fill takes over what a header says.
func (s *shownRecording) fill(h recording.Header, bytes int64) {
	o := h.Session
	s.Session, s.Person, s.Target, s.Login = o.ID, o.Identity.Subject, o.Target, o.Login
	s.Started, s.Bytes, s.Recipients, s.Address, s.Mode = o.Started, bytes, h.Recipients, o.ClientAddress, string(o.Audit)
}

// read counts the commands and keystrokes, and sees how long the session lasts.
func (s *shownRecording) read(r *recording.Reader) error {
	n, noted := 0, &noting{Source: r}
	err := replay.Commands(noted, func(replay.Command) error { n++; return nil })
	_, at, _ := r.End()
	s.Commands, s.Keystrokes, s.Seconds, s.Segments = &n, &noted.typed, replay.Seconds(at), r.Segments()
	return err
}
