package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
)

// awsPlace is awskms:REGION/KEY[?endpoint=URL], where KEY is a key's ID, its ARN, or alias/NAME.
type awsPlace struct {
	region, key, endpoint string
}

var (
	awsRegion = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}$`)
	awsKey    = regexp.MustCompile(`^[A-Za-z0-9:/_-]{1,512}$`)
)

func readAWSPlace(rest string) (place, error) {
	where, values, err := readQuery(rest, "endpoint")
	if err != nil {
		return nil, err
	}
	region, key, _ := strings.Cut(where, "/")
	if !awsRegion.MatchString(region) || !awsKey.MatchString(key) {
		return nil, errors.New("want awskms:REGION/KEY, such as awskms:eu-central-1/alias/ssh-users")
	}
	p := awsPlace{region: region, key: key, endpoint: values["endpoint"]}
	if p.endpoint != "" {
		if _, err := readEndpoint(p.endpoint); err != nil {
			return nil, fmt.Errorf("endpoint: %w", err)
		}
	}
	return p, nil
}

func (p awsPlace) name() string { return "awskms:" + p.region + "/" + p.key }

func (p awsPlace) fail(err error) error {
	fix := "is AWS reachable, and are there credentials (environment, shared file, instance role)? Signing goes on by itself"
	var disabled *types.DisabledException
	var state *types.KMSInvalidStateException
	switch {
	case errors.Is(err, ErrClosed):
		fix = ""
	case errors.Is(err, ErrNotFound):
		fix = "look for it in this region (aws kms list-aliases), or create the key"
	case errors.Is(err, ErrTaken):
		fix = "give another alias, or open the key that is there"
	case errors.Is(err, errDenied):
		fix = "allow kms:GetPublicKey and kms:Sign on this key; signing goes on by itself"
	case errors.As(err, &disabled), errors.As(err, &state):
		fix = "enable the key (aws kms enable-key); signing goes on by itself"
	case errors.Is(err, errOtherKey), errors.Is(err, errSignature):
		fix = "has the alias been pointed to another key? Point it back, or name the key by its ID"
	}
	return &Error{Store: p.name(), Cause: err, Fix: fix}
}

// client finds region, credentials and addresses in AWS's ordinary ways.
func (p awsPlace) client(ctx context.Context, o Options) (*kms.Client, error) {
	options := []func(*config.LoadOptions) error{config.WithRegion(p.region)}
	if o.HTTPClient != nil {
		options = append(options, config.WithHTTPClient(o.HTTPClient))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, awsError(err)
	}
	return kms.NewFromConfig(c, func(ko *kms.Options) {
		if p.endpoint != "" {
			ko.BaseEndpoint = &p.endpoint
		}
	}), nil
}

// awsError says in few words what AWS refuses.
func awsError(err error) error {
	var missing *types.NotFoundException
	if errors.As(err, &missing) {
		return ErrNotFound
	}
	var taken *types.AlreadyExistsException
	if errors.As(err, &taken) {
		return ErrTaken
	}
	var api smithy.APIError
	switch {
	case !errors.As(err, &api):
		return firstLine(err)
	case strings.HasPrefix(api.ErrorCode(), "AccessDenied"):
		return brief{fmt.Sprintf("%v (%.200s)", errDenied, api.ErrorMessage()), errDenied}
	}
	return brief{fmt.Sprintf("%s (%.200s)", api.ErrorCode(), api.ErrorMessage()), err}
}

func (p awsPlace) open(ctx context.Context, o Options) (Key, error) {
	client, err := p.client(ctx, o)
	if err != nil {
		return nil, p.fail(err)
	}
	return openKey(ctx, store{
		dial:  func(context.Context) (link, error) { return &awsLink{client: client, key: p.key}, nil },
		fail:  p.fail,
		links: serviceLinks,
	}, o.Timeout)
}

// awsLink asks AWS about one key.
type awsLink struct {
	client *kms.Client
	key    string
	known  *ecdsa.PublicKey
}

func (l *awsLink) close() error { return nil }

func (l *awsLink) public(ctx context.Context) (crypto.PublicKey, error) {
	answer, err := l.client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &l.key})
	if err != nil {
		return nil, awsError(err)
	}
	if answer.KeyUsage != types.KeyUsageTypeSignVerify {
		return nil, fmt.Errorf("the key is for %s: want one for SIGN_VERIFY", answer.KeyUsage)
	}
	public, err := x509.ParsePKIXPublicKey(answer.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("read the public key: %w", err)
	}
	var ok bool
	if l.known, ok = public.(*ecdsa.PublicKey); !ok {
		return nil, fmt.Errorf("the key is a %T: want ECDSA of P-256 or P-384 (ECC_NIST_P256, ECC_NIST_P384)", public)
	}
	return public, nil
}

func (l *awsLink) sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	if err := rightHash(l.known, hash); err != nil {
		return nil, err
	}
	algorithm := types.SigningAlgorithmSpecEcdsaSha256
	if hash == crypto.SHA384 {
		algorithm = types.SigningAlgorithmSpecEcdsaSha384
	}
	answer, err := l.client.Sign(ctx, &kms.SignInput{KeyId: &l.key, Message: digest, MessageType: types.MessageTypeDigest, SigningAlgorithm: algorithm})
	if err != nil {
		return nil, awsError(err)
	}
	return answer.Signature, nil
}

// create makes a key and gives it the alias that the URI names: AWS itself chooses the IDs of keys.
func (p awsPlace) create(ctx context.Context, kind Kind, o Options) (Key, error) {
	kind, err := kindOf(kind, P256, P384)
	if err != nil {
		return nil, p.fail(err)
	}
	if !strings.HasPrefix(p.key, "alias/") {
		return nil, p.fail(errors.New("a key ID cannot be asked for: name the key by alias/NAME, AWS chooses the ID"))
	}
	client, err := p.client(ctx, o)
	if err == nil {
		err = p.make(ctx, client, kind, o)
	}
	if err != nil {
		return nil, p.fail(err)
	}
	return p.open(ctx, o)
}

func (p awsPlace) make(ctx context.Context, client *kms.Client, kind Kind, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, max(o.Timeout, makeTime))
	defer cancel()
	_, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &p.key})
	if err == nil {
		return ErrTaken
	}
	if err := awsError(err); !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("look for the alias: %w", err)
	}
	spec, description := types.KeySpecEccNistP256, "Sekisho SSH CA, "+strings.TrimPrefix(p.key, "alias/")
	if kind == P384 {
		spec = types.KeySpecEccNistP384
	}
	made, err := client.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: types.KeyUsageTypeSignVerify, Description: &description})
	if err != nil {
		return fmt.Errorf("make the key: %w", awsError(err))
	}
	_, err = client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &p.key, TargetKeyId: made.KeyMetadata.KeyId})
	if err != nil { // a key without a name would be paid for and never be found
		days := int32(7)
		_, undo := client.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: made.KeyMetadata.KeyId, PendingWindowInDays: &days})
		return errors.Join(fmt.Errorf("name the key: %w", awsError(err)), undo)
	}
	return nil
}
