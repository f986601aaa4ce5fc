package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type keysPublishCmd struct {
	Key    string   `arg:"" name:"file" help:"The public key: a file such as id_ed25519.pub, or - for standard input."`
	Target []string `required:"" placeholder:"NAME" help:"Target that it may log in on; may be given more than once."`
	Login  string   `required:"" placeholder:"NAME" help:"Login that it may log in as."`
	TTL    string   `name:"ttl" required:"" placeholder:"TIME" help:"For how long, such as 90m, 12h or 7d; 30d at most."`
	Reason string   `required:"" placeholder:"TEXT" help:"What it is for; the audit log keeps it. At most 200 characters."`
	Allow  []string `placeholder:"WORD" enum:"pty,port-forwarding,agent-forwarding,x11-forwarding" help:"What it may do beside running commands and copying files: pty, port-forwarding, agent-forwarding or x11-forwarding; may be given more than once."`
	From   []string `placeholder:"CIDR" help:"Network that it may come from; may be given more than once. Without it: any."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

func (*keysPublishCmd) Help() string {
	return `Publishes an SSH public key: whoever holds its private half may log in on the targets, as the login, until the time is over, straight to the host and without a certificate. It is for machines and programs that cannot use certificates; people use plain ssh.

A policy must allow it for each target and login (the action publishKeys), now and for as long as the key is published. Audited targets take no published keys, and neither do those where your own sessions are recorded: nothing goes around the recording.

Nobody is asked whether you hold the private half. Look twice at whose key it is: sekisho prints its fingerprint.

The key may run commands and subsystems such as sftp. A terminal and forwards it gets with --allow. Give --from if you know where it comes from.

Hosts have it once their connectors have asked the next time, which they do each minute. sshd itself refuses it when its time is over, also while no connector runs. A key that is published at one of the places already, as the same login, is refused: withdraw it first.

Examples:

    sekisho keys publish --ttl 12h --target web1 --login deploy --reason "nightly backup" backup.pub
    sekisho keys publish --ttl 7d --target web1,web2 --login deploy --from 192.0.2.7 --reason "old CI" ci.pub
    ssh-add -L | grep nas | sekisho keys publish --ttl 1h --target nas1 --login backup --allow pty --reason setup -
`
}

func (cmd *keysPublishCmd) Run(a *app) error {
	ttl, err := span30(cmd.TTL)
	if err != nil {
		return err
	}
	line, err := cmd.line(a)
	if err != nil {
		return err
	}
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	res, err := c.PublishedKeys().Publish(a.ctx, connect.NewRequest(&apiv1.PublishKeyRequest{
		PublicKey: line, Targets: cmd.Target, Login: cmd.Login, TtlSeconds: int64(ttl / time.Second), Reason: cmd.Reason,
		Allow: cmd.Allow, From: cmd.From,
	}))
	if err != nil {
		return err
	}
	k := newPublishedKeyInfo(res.Msg.Key)
	if cmd.JSON {
		return a.json(k)
	}
	return cmd.report(a, k, time.Duration(res.Msg.IntervalSeconds)*time.Second)
}

func (cmd *keysPublishCmd) report(a *app, k publishedKeyInfo, within time.Duration) error {
	_, err := fmt.Fprintf(a.out, "%s is published as %s: it may log in as %s on %s until %s.\n",
		plain(k.Fingerprint), plain(k.ID), plain(k.Login), plain(strings.Join(k.Targets, ", ")), local(k.Expires))
	if err != nil {
		return err
	}
	if len(k.Served) > 0 {
		fmt.Fprintf(a.err, "Hosts let it in within %s. To end it before: sekisho keys withdraw %s\n", sekisho.Span(within), plain(k.ID))
	}
	for _, t := range k.Targets {
		if !slices.Contains(k.Served, t) {
			fmt.Fprintf(a.err, "%s has no connector yet, so that nothing is let in there.\n", plain(t))
		}
	}
	return nil
}

// line reads the one public key that there is.
func (cmd *keysPublishCmd) line(a *app) (string, error) {
	in := a.in
	if cmd.Key != "-" {
		f, err := os.Open(cmd.Key)
		if err != nil {
			return "", &sekisho.Refusal{Sentence: "The public key cannot be read: " + err.Error() + ".", Next: "Name a file such as id_ed25519.pub.", Cause: err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxKeyLine+1))
	if err != nil {
		return "", fmt.Errorf("read public key: %w", err)
	}
	none := func(what string) (string, error) {
		return "", &sekisho.Refusal{Sentence: fmt.Sprintf("%s holds %s.", cmd.Key, what), Next: "Name the file with the public key, such as id_ed25519.pub: one line, without options."}
	}
	switch {
	case len(text) > maxKeyLine:
		return none("more than a public key")
	case strings.Contains(string(text), "PRIVATE KEY-----"):
		return none("a private key, which goes nowhere")
	}
	key, _, options, rest, err := ssh.ParseAuthorizedKey(text)
	switch {
	case err != nil:
		return none("no public key")
	case len(options) > 0:
		return none("a key with options, which a published key has none of")
	case len(strings.TrimSpace(string(rest))) > 0:
		return none("more than one line")
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), nil
}

// maxKeyLine bounds a public key's line, in bytes.
const maxKeyLine = 16 << 10

// span30 reads a time of up to 30 days.
func span30(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 8)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < time.Second || d > 30*24*time.Hour {
		return 0, &usageError{fmt.Sprintf("--ttl %s: want a time such as 90m, 12h or 7d, and 30d at most", text)}
	}
	return d, nil
}
