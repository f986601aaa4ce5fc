package blob_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
	"github.com/sekisho/sekisho/store/storetest"
)

func TestS3(t *testing.T) {
	server := storetest.StartS3(t)
	storetest.Blobs(t, func(t *testing.T) blob.Store { return server.Open(t) })
	t.Run("Prefix", func(t *testing.T) {
		name := blob.Segment(sekisho.NewID("ses"), 0)
		if err := server.Open(t).Put(context.Background(), name, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(server.Dir, "house", "one", name)); err != nil {
			t.Error(err)
		}
	})
	t.Run("Bucket", func(t *testing.T) { // a bucket that is not there is no absent object
		cfg := server.Config
		cfg.Bucket = "another"
		store, err := blob.NewS3(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		name := blob.Manifest(sekisho.NewID("ses"))
		_, _, err = store.Get(context.Background(), name, 0)
		if err == nil || errors.Is(err, sekisho.ErrNotFound) || !strings.Contains(err.Error(), "NoSuchBucket") {
			t.Errorf("get: %v", err)
		}
		if err := store.Put(context.Background(), name, strings.NewReader("x"), 1); err == nil {
			t.Error("stored in no bucket")
		}
		if _, err := store.List(context.Background(), ""); err == nil {
			t.Error("listed no bucket")
		}
	})
	t.Run("Keys", func(t *testing.T) { // wrong ones are refused, and neither they nor right ones are told
		cfg := server.Config
		cfg.CredentialsFile = filepath.Join(t.TempDir(), "keys")
		os.WriteFile(cfg.CredentialsFile, []byte("[other]\naws_access_key_id=no\n[default]\naws_access_key_id=AKIDEXAMPLE\naws_secret_access_key=hush-hush\n"), 0o600)
		store, err := blob.NewS3(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		err = store.Put(context.Background(), blob.Manifest(sekisho.NewID("ses")), strings.NewReader("x"), 1)
		if err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("error %v", err)
		}
		told(t, err)
	})
	t.Run("Gone", func(t *testing.T) {
		store := server.Open(t)
		server.Stop()
		defer server.Start()
		name := blob.Manifest(sekisho.NewID("ses"))
		err := store.Put(context.Background(), name, strings.NewReader("x"), 1)
		if err == nil {
			t.Fatal("stored in nothing")
		}
		told(t, err)
		if _, _, err := store.Get(context.Background(), name, 0); err == nil || errors.Is(err, sekisho.ErrNotFound) {
			t.Errorf("a store that is gone says %v", err)
		}
	})
}

// told fails if an error says a key when it is logged.
func told(t *testing.T, err error) {
	t.Helper()
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Error("upload", "error", err)
	for _, secret := range []string{storetest.S3Secret, "hush-hush", "Credential="} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the log tells %q: %s", secret, out.String())
		}
	}
}

// Keys come from the environment, or from systemd's credentials, when no file is named.
func TestS3Keys(t *testing.T) {
	server := storetest.StartS3(t)
	file := server.Config.CredentialsFile
	server.Config.CredentialsFile = ""
	try := func(t *testing.T) error {
		t.Helper()
		_, err := server.Open(t).List(context.Background(), "")
		return err
	}
	t.Run("None", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		if err := try(t); err == nil || !strings.Contains(err.Error(), "credentials of the S3 store") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("Environment", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", storetest.S3Key)
		t.Setenv("AWS_SECRET_ACCESS_KEY", storetest.S3Secret)
		if err := try(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("Systemd", func(t *testing.T) {
		dir := t.TempDir()
		keys, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, "s3"), keys, 0o400)
		t.Setenv("CREDENTIALS_DIRECTORY", dir)
		t.Setenv("AWS_ACCESS_KEY_ID", "wrong")
		if err := try(t); err != nil {
			t.Error(err)
		}
	})
}

// The store's certificate is checked, against the authority that is named.
func TestS3Authority(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `<ListBucketResult></ListBucketResult>`)
	}))
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	cfg := blob.S3Config{Endpoint: server.URL, Bucket: "recordings", PathStyle: true}
	list := func() error {
		store, err := blob.NewS3(cfg)
		if err != nil {
			return err
		}
		defer store.Close()
		_, err = store.List(context.Background(), "")
		return err
	}
	if err := list(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a stranger's certificate: %v", err)
	}
	cfg.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	os.WriteFile(cfg.CAFile, pemOf(server.Certificate().Raw), 0o600)
	if err := list(); err != nil {
		t.Errorf("the authority's: %v", err)
	}
	os.WriteFile(cfg.CAFile, []byte("nothing"), 0o600)
	if err := list(); err == nil {
		t.Error("a file without a certificate is taken")
	}
}

// A store that answers with another part than was asked for is not believed.
func TestS3WrongRange(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	for _, answer := range []string{"", "bytes 0-3/9", "bytes 5-7/9", "bytes 5-8/", "bytes 5-8/*", "nonsense"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
			if answer != "" {
				w.Header().Set("Content-Range", answer)
			}
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "5678")
		}))
		store, err := blob.NewS3(blob.S3Config{Endpoint: server.URL, Bucket: "recordings", PathStyle: true})
		if err != nil {
			t.Fatal(err)
		}
		if body, _, err := store.Get(context.Background(), blob.Manifest(sekisho.NewID("ses")), 5); err == nil {
			body.Close()
			t.Errorf("%q is believed", answer)
		}
		store.Close()
		server.Close()
	}
}

func TestS3Config(t *testing.T) {
	good := blob.S3Config{Endpoint: "https://s3.example.com", Bucket: "recordings"}
	for what, change := range map[string]func(*blob.S3Config){
		"good":      func(*blob.S3Config) {},
		"port":      func(c *blob.S3Config) { c.Endpoint = "https://s3.example.com:9000/" },
		"loopback":  func(c *blob.S3Config) { c.Endpoint = "http://127.0.0.1:9000" },
		"prefix":    func(c *blob.S3Config) { c.Prefix = "house/one" },
		"!http":     func(c *blob.S3Config) { c.Endpoint = "http://s3.example.com" },
		"!scheme":   func(c *blob.S3Config) { c.Endpoint = "s3.example.com" },
		"!password": func(c *blob.S3Config) { c.Endpoint = "https://a:hush-hush@s3.example.com" },
		"!path":     func(c *blob.S3Config) { c.Endpoint = "https://s3.example.com/recordings" },
		"!bucket":   func(c *blob.S3Config) { c.Bucket = "" },
		"!bucket/":  func(c *blob.S3Config) { c.Bucket = "a/b" },
		"!up":       func(c *blob.S3Config) { c.Prefix = "../x" },
		"!slash":    func(c *blob.S3Config) { c.Prefix = "x/" },
	} {
		cfg := good
		change(&cfg)
		err := cfg.Check()
		if (err == nil) != (what[0] != '!') {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil {
			told(t, err)
		}
	}
}

func pemOf(certificate []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
}
