package blob

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// keyTime is how long keys are used before the file is read again, so that they can be changed while we run.
const keyTime = time.Minute

// maxKeyFile bounds what is read of a credentials file.
const maxKeyFile = 64 << 10

// keyFile gets the store's keys from a file or from the environment.
type keyFile struct {
	path string
	read atomic.Int64 // when, in nanoseconds since 1970
}

func (k *keyFile) IsExpired() bool { return time.Since(time.Unix(0, k.read.Load())) > keyTime }

func (k *keyFile) Retrieve() (credentials.Value, error) { return k.RetrieveWithCredContext(nil) }

func (k *keyFile) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	v, err := k.keys()
	if err == nil && (v.AccessKeyID == "" || v.SecretAccessKey == "") {
		err = errors.New("aws_access_key_id or aws_secret_access_key is missing")
	}
	if err != nil {
		return credentials.Value{}, fmt.Errorf("credentials of the S3 store: %w", err)
	}
	v.SignerType = credentials.SignatureV4
	k.read.Store(time.Now().UnixNano())
	return v, nil
}

func (k *keyFile) keys() (credentials.Value, error) {
	path := k.path
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); path == "" && dir != "" {
		if p := filepath.Join(dir, "s3"); exists(p) {
			path = p
		}
	}
	if path == "" {
		return credentials.Value{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return credentials.Value{}, err
	}
	defer file.Close()
	return parseKeys(io.LimitReader(file, maxKeyFile))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// parseKeys reads the section [default], or what stands before the first section. No value gets into an error.
func parseKeys(r io.Reader) (v credentials.Value, err error) {
	ours := true
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			ours = strings.TrimSpace(strings.Trim(line, "[]")) == "default"
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return v, fmt.Errorf("line %d: want NAME = VALUE", n)
		}
		if !ours {
			continue
		}
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "aws_access_key_id":
			v.AccessKeyID = value
		case "aws_secret_access_key":
			v.SecretAccessKey = value
		case "aws_session_token":
			v.SessionToken = value
		}
	}
	return v, lines.Err()
}
