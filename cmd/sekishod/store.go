package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/sekisho/sekisho/store/blob"
	"github.com/sekisho/sekisho/store/spool"
)

// StoreConfig says where recordings stay: in a folder, or in a bucket.
type StoreConfig struct {
	// Folder is by default recordings in the data folder.
	Folder string `yaml:"folder"`
	// S3 is a bucket of an S3 store.
	S3 *S3Config `yaml:"s3"`
}

// S3Config says where the bucket is.
type S3Config struct {
	// Endpoint is https://HOST[:PORT]; http is for loopback only.
	Endpoint string `yaml:"endpoint"`
	// Bucket must be there.
	Bucket string `yaml:"bucket"`
	// Prefix is put before all names.
	Prefix string `yaml:"prefix"`
	// Region is by default us-east-1.
	Region string `yaml:"region"`
	// CredentialsFile is an AWS credentials file with the section [default]; without it the file s3 of systemd's
	// credentials is read, or else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment.
	CredentialsFile string `yaml:"credentials_file"`
	// CAFile has the PEM certificates of the authorities to trust; by default the system's.
	CAFile string `yaml:"ca_file"`
	// PathStyle addresses the bucket as a path instead of as a host name.
	PathStyle bool `yaml:"path_style"`
}

func (c *S3Config) config() blob.S3Config {
	return blob.S3Config{Endpoint: c.Endpoint, Bucket: c.Bucket, Prefix: c.Prefix, Region: c.Region, PathStyle: c.PathStyle,
		CredentialsFile: c.CredentialsFile, CAFile: c.CAFile}
}

// Defaults and bounds of recordings on the disk.
const (
	usualSegmentTime = 5 * time.Minute
	leastSegmentTime = time.Second
	usualSpoolLimit  = 16 << 30
	usualMinFree     = 256 << 20
)

func (c *Config) checkStore() error {
	r := &c.Recording
	var errs []error
	var err error
	r.segmentTime, err = within("recording.segment_time", r.SegmentTime, usualSegmentTime, leastSegmentTime)
	errs = append(errs, err)
	r.spoolLimit, err = size("recording.spool_limit", r.SpoolLimit, usualSpoolLimit)
	errs = append(errs, err)
	r.minFree, err = size("recording.min_free", r.MinFree, usualMinFree)
	errs = append(errs, err)
	if s := r.Store.S3; s != nil {
		if r.Store.Folder != "" {
			errs = append(errs, errors.New("recording.store: want folder or s3, not both"))
		}
		cfg := s.config()
		if err := cfg.Check(); err != nil {
			errs = append(errs, fmt.Errorf("recording.store.s3: %w", err))
		}
	} else if r.Store.Folder == "" {
		r.Store.Folder = filepath.Join(c.Data, "recordings")
	}
	return errors.Join(errs...)
}

var sizeForm = regexp.MustCompile(`^([0-9]{1,6})(KiB|MiB|GiB|TiB)$`)

// size reads a number of bytes; usual is what nothing means.
func size(key, value string, usual int64) (int64, error) {
	if value == "" {
		return usual, nil
	}
	m := sizeForm.FindStringSubmatch(value)
	if m == nil {
		return 0, fmt.Errorf("%s %q: want a size such as 512MiB or 16GiB", key, value)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s %q: %w", key, value, err)
	}
	return n << map[string]int{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[m[2]], nil
}

// openRecorder opens spool and store, and marks what was cut off.
func (h *house) openRecorder(ctx context.Context) (err error) {
	c := &h.cfg.Recording
	var blobs blob.Store
	if c.Store.S3 != nil {
		blobs, err = blob.NewS3(c.Store.S3.config())
	} else {
		blobs, err = blob.Open(c.Store.Folder)
	}
	if err != nil {
		return fmt.Errorf("recording.store: %w", err)
	}
	h.spool, err = spool.Open(ctx, spool.Config{Dir: filepath.Join(h.cfg.Data, "spool"), Blobs: blobs, MinFree: c.minFree,
		MaxBytes: c.spoolLimit, Log: h.log})
	if err != nil {
		return err
	}
	h.recorder = &recorder{spool: h.spool, index: h.store, recipients: h.readers, signer: h.keys.recording, segmentTime: c.segmentTime,
		note: h.events.Append, now: time.Now, log: h.log}
	if err := h.recorder.recover(ctx, gatewayName); err != nil {
		return fmt.Errorf("mark recordings that were cut off: %w", err)
	}
	return nil
}
