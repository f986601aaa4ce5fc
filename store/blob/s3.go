package blob

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sekisho/sekisho"
)

// How long an S3 store may take: to be connected to, to begin to answer once it has a request, and for each 64 KiB/s
// of an object on top of that.
const (
	dialTime   = 10 * time.Second
	answerTime = 30 * time.Second
	slowest    = 64 << 10 // bytes a second
)

// S3Config says where the bucket is, and how to get in.
type S3Config struct {
	// Endpoint is the store's URL, https://HOST[:PORT]; http is for loopback only.
	Endpoint string
	// Bucket must be there. Versions, retention and who may delete are its owner's to set.
	Bucket string
	// Prefix is put before the objects' names, with a slash between; empty for none.
	Prefix string
	// Region is what requests are signed for; by default us-east-1.
	Region string
	// PathStyle addresses the bucket as a path instead of as a host name.
	PathStyle bool
	// CredentialsFile is an AWS credentials file with the section [default]. Without it the file "s3" of systemd's
	// credentials ($CREDENTIALS_DIRECTORY) is read, or else AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
	// AWS_SESSION_TOKEN of the environment.
	CredentialsFile string
	// CAFile has the PEM certificates of the authorities to trust; by default the system's.
	CAFile string
}

// S3 is a Store in a bucket.
type S3 struct {
	core           minio.Core
	bucket, prefix string
	transport      *http.Transport
}

var (
	bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixForm = regexp.MustCompile(`^([A-Za-z0-9._-]{1,64}/)*[A-Za-z0-9._-]{1,64}$`)
)

// Check says what in the configuration cannot be.
func (c *S3Config) Check() error {
	if _, err := c.endpoint(); err != nil {
		return err
	}
	if !bucketForm.MatchString(c.Bucket) {
		return fmt.Errorf("bucket %.70q: want 3 to 63 of a-z 0-9 . -", c.Bucket)
	}
	if c.Prefix != "" && (len(c.Prefix) > 512 || !prefixForm.MatchString(c.Prefix) || !fs.ValidPath(c.Prefix)) {
		return fmt.Errorf("prefix %.70q: want names of A-Z a-z 0-9 . _ - with slashes between", c.Prefix)
	}
	return nil
}

func (c *S3Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("endpoint: want https://HOST[:PORT]") // what was written may hold a password
	}
	address, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && address.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return nil, fmt.Errorf("endpoint %s://%s: want https; http is for loopback only", u.Scheme, u.Host)
	}
	return u, nil
}

// NewS3 makes the store's client. It does not call the store.
func NewS3(cfg S3Config) (*S3, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	endpoint, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}
	transport, err := cfg.transport()
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	lookup := minio.BucketLookupDNS
	if cfg.PathStyle {
		lookup = minio.BucketLookupPath
	}
	region := cfg.Region
	if region == "" {
		region = "us-east-1"
	}
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds: credentials.New(&keyFile{path: cfg.CredentialsFile}), Secure: endpoint.Scheme == "https", Transport: transport,
		Region: region, BucketLookup: lookup, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	s := &S3{core: *core, bucket: cfg.Bucket, transport: transport}
	if cfg.Prefix != "" {
		s.prefix = cfg.Prefix + "/"
	}
	return s, nil
}

func (c *S3Config) transport() (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", c.CAFile)
		}
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialTime}).DialContext, TLSClientConfig: config,
		TLSHandshakeTimeout: dialTime, ResponseHeaderTimeout: answerTime, IdleConnTimeout: time.Minute,
		MaxIdleConnsPerHost: 8, DisableCompression: true,
	}, nil
}

// Close closes idle connections.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Put sends the object as one request: an S3 store shows nothing of it before it has all.
func (s *S3) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if _, _, err := ParseName(name); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime+answerTime+time.Duration(size/slowest)*time.Second)
	defer cancel()
	info, err := s.core.Client.PutObject(ctx, s.bucket, s.prefix+name, exact(r, size), size, minio.PutObjectOptions{
		DisableMultipart: true, ContentType: contentType(name),
	})
	if err == nil && info.Size != size {
		err = fmt.Errorf("%d bytes were stored, not %d", info.Size, size)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", name, s.explain(err))
	}
	return nil
}

func contentType(name string) string {
	if strings.HasSuffix(name, segmentEnd) {
		return "application/octet-stream"
	}
	return "application/json"
}

// Get asks for the object from the offset on.
func (s *S3) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, int64, error) {
	if _, _, err := ParseName(name); err != nil {
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	if offset < 0 {
		return nil, 0, fmt.Errorf("read %s: offset %d", name, offset)
	}
	var opts minio.GetObjectOptions
	if offset > 0 {
		if err := opts.SetRange(offset, 0); err != nil {
			return nil, 0, fmt.Errorf("read %s: %w", name, err)
		}
	}
	body, info, header, err := s.core.GetObject(ctx, s.bucket, s.prefix+name, opts)
	if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return s.atEnd(ctx, name, offset)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, s.explain(err))
	}
	size, err := whole(info.Size, header.Get("Content-Range"), offset)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, errors.Join(err, body.Close()))
	}
	return body, size, nil
}

// atEnd is the empty rest of an object, if the offset is its end.
func (s *S3) atEnd(ctx context.Context, name string, offset int64) (io.ReadCloser, int64, error) {
	size, err := s.Size(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	if err := checkOffset(offset, size); err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, err)
	}
	return http.NoBody, size, nil
}

// Size asks for the object's head.
func (s *S3) Size(ctx context.Context, name string) (int64, error) {
	if _, _, err := ParseName(name); err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	info, err := s.core.Client.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, s.explain(err))
	}
	return info.Size, nil
}

// whole is the size of the object of which an answer has the part from the offset on: "bytes 5-9/10" (RFC 9110 §14.4).
func whole(length int64, contentRange string, offset int64) (int64, error) {
	if offset == 0 && contentRange == "" {
		return length, nil
	}
	part, total, _ := strings.Cut(strings.TrimPrefix(contentRange, "bytes "), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil || part != fmt.Sprintf("%d-%d", offset, size-1) {
		return 0, fmt.Errorf("asked from byte %d on, the store gives %.60q", offset, contentRange)
	}
	return size, nil
}

// List asks for the names and sizes; those that are no object of ours are passed over.
func (s *S3) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all []Object
	for o := range s.core.Client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, fmt.Errorf("list: %w", s.explain(o.Err))
		}
		name := strings.TrimPrefix(o.Key, s.prefix)
		if _, _, err := ParseName(name); err == nil {
			all = append(all, Object{name, o.Size})
		}
	}
	return sorted(all), ctx.Err()
}

// explain tells an object that is not there from a bucket that is not there, and says what the store answered.
func (s *S3) explain(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return err
	}
	if answer.Code == minio.NoSuchKey {
		return sekisho.ErrNotFound
	}
	return fmt.Errorf("the store answers %d %.100s: %.200q", answer.StatusCode, answer.Code, answer.Message)
}

// exact hides what else a reader can do, and ends it after size bytes.
func exact(r io.Reader, size int64) io.Reader { return struct{ io.Reader }{io.LimitReader(r, size)} }
