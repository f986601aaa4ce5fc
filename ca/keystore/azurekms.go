package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

// azurePlace is azurekms:VAULT-URL/KEY[/VERSION]; a key identifier of Azure, VAULT-URL/keys/KEY[/VERSION], is taken, too.
type azurePlace struct {
	vault, key, version string
}

// azureRetry is the pause before a request is made a second time; a third, on another link, comes after.
const azureRetry = 200 * time.Millisecond

var azureName = regexp.MustCompile(`^[A-Za-z0-9-]{1,127}$`)

func readAzurePlace(rest string) (place, error) {
	where, _, err := readQuery(rest)
	if err != nil {
		return nil, err
	}
	u, err := readEndpoint(where)
	if err != nil || u.Scheme != "https" {
		return nil, errors.New("want azurekms:VAULT-URL/KEY[/VERSION], such as azurekms:https://NAME.vault.azure.net/ssh-users")
	}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if len(parts) > 1 && parts[0] == "keys" {
		parts = parts[1:]
	}
	if len(parts) > 2 {
		return nil, errors.New("want a key and a version after the vault, and no more")
	}
	for _, part := range parts {
		if !azureName.MatchString(part) {
			return nil, errors.New("want letters, digits and dashes as the key's name and version")
		}
	}
	p := azurePlace{vault: "https://" + u.Host, key: parts[0]}
	if len(parts) == 2 {
		p.version = parts[1]
	}
	return p, nil
}

func (p azurePlace) name() string {
	return strings.TrimSuffix("azurekms:"+p.vault+"/"+p.key+"/"+p.version, "/")
}

func (p azurePlace) fail(err error) error {
	fix := "is the vault reachable, and are there credentials (environment, workload identity, managed identity)? Signing goes on by itself"
	switch {
	case errors.Is(err, ErrClosed):
		fix = ""
	case errors.Is(err, ErrNotFound):
		fix = "look for it in the vault (az keyvault key list), or create the key"
	case errors.Is(err, ErrTaken):
		fix = "give another name, or open the key that is there"
	case errors.Is(err, errDenied):
		fix = "allow keys/read and keys/sign (role Key Vault Crypto User), and see whether the key is enabled; signing goes on by itself"
	case errors.Is(err, errOtherKey), errors.Is(err, errSignature):
		fix = "do not trust this key until it is known who changed it"
	}
	return &Error{Store: p.name(), Cause: err, Fix: fix}
}

// client finds credentials in Azure's ordinary ways for services: no developer's sign-in is looked for.
func (p azurePlace) client(o Options) (*azkeys.Client, error) {
	options := azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: 1, RetryDelay: azureRetry}}
	if o.HTTPClient != nil {
		options.Transport = o.HTTPClient
	}
	credential, err := azureCredential(o, options)
	if err != nil {
		return nil, firstLine(err)
	}
	return azkeys.NewClient(p.vault, credential, &azkeys.ClientOptions{ClientOptions: options})
}

func azureCredential(o Options, options azcore.ClientOptions) (azcore.TokenCredential, error) {
	if o.Getenv("AZURE_CLIENT_SECRET") != "" || o.Getenv("AZURE_CLIENT_CERTIFICATE_PATH") != "" {
		return azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: options})
	}
	if o.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "" {
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: options})
	}
	managed := azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
	if id := o.Getenv("AZURE_CLIENT_ID"); id != "" {
		managed.ID = azidentity.ClientID(id)
	}
	return azidentity.NewManagedIdentityCredential(&managed)
}

// azureError says in few words what Azure refuses.
func azureError(err error) error {
	var answer *azcore.ResponseError
	var login *azidentity.AuthenticationFailedError
	switch {
	case errors.As(err, &login):
		status := "no answer"
		if login.RawResponse != nil {
			status = login.RawResponse.Status
		}
		return brief{"no credentials were given by Azure's identity service: " + status, err}
	case !errors.As(err, &answer):
		return firstLine(err)
	case answer.StatusCode == 404:
		return ErrNotFound
	case answer.StatusCode == 403 || answer.StatusCode == 401:
		return brief{fmt.Sprintf("%v (%s)", errDenied, answer.ErrorCode), errDenied}
	}
	return brief{fmt.Sprintf("%d %s", answer.StatusCode, answer.ErrorCode), err}
}

func (p azurePlace) open(ctx context.Context, o Options) (Key, error) {
	client, err := p.client(o)
	if err != nil {
		return nil, p.fail(err)
	}
	k := &azureKey{place: p, client: client}
	k.version.Store(&p.version)
	return openKey(ctx, store{dial: func(context.Context) (link, error) { return &azureLink{azureKey: k}, nil }, fail: p.fail, links: serviceLinks}, o.Timeout)
}

// azureKey is what the links of one key share: the version that was found when it was opened is the one that signs, also
// when the vault gets a newer one.
type azureKey struct {
	place   azurePlace
	client  *azkeys.Client
	version atomic.Pointer[string]
}

type azureLink struct {
	*azureKey
	known *ecdsa.PublicKey
}

func (l *azureLink) close() error { return nil }

func (l *azureLink) public(ctx context.Context) (crypto.PublicKey, error) {
	answer, err := l.client.GetKey(ctx, l.place.key, *l.version.Load(), nil)
	if err != nil {
		return nil, azureError(err)
	}
	if l.known, err = azurePublic(answer.Key); err != nil {
		return nil, err
	}
	version := answer.Key.KID.Version()
	l.version.Store(&version)
	return l.known, nil
}

func azurePublic(key *azkeys.JSONWebKey) (*ecdsa.PublicKey, error) {
	if key == nil || key.KID == nil || key.Crv == nil {
		return nil, errors.New("the key is not of an elliptic curve: want P-256 or P-384")
	}
	curve := map[azkeys.CurveName]elliptic.Curve{azkeys.CurveNameP256: elliptic.P256(), azkeys.CurveNameP384: elliptic.P384()}[*key.Crv]
	if curve == nil {
		return nil, fmt.Errorf("the key is of the curve %.20q: want P-256 or P-384", *key.Crv)
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(key.X) > size || len(key.Y) > size {
		return nil, errors.New("the key's public half is no point")
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // SEC 1, 2.3.3
	new(big.Int).SetBytes(key.X).FillBytes(point[1 : 1+size])
	new(big.Int).SetBytes(key.Y).FillBytes(point[1+size:])
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}

func (l *azureLink) sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	if err := rightHash(l.known, hash); err != nil {
		return nil, err
	}
	algorithm := azkeys.SignatureAlgorithmES256
	if hash == crypto.SHA384 {
		algorithm = azkeys.SignatureAlgorithmES384
	}
	answer, err := l.client.Sign(ctx, l.place.key, *l.version.Load(), azkeys.SignParameters{Algorithm: &algorithm, Value: digest}, nil)
	if err != nil {
		return nil, azureError(err)
	}
	return derOf(answer.Result, l.known)
}

// create makes a key of a name that is not there: of one that is, Azure would make a new version.
func (p azurePlace) create(ctx context.Context, kind Kind, o Options) (Key, error) {
	kind, err := kindOf(kind, P256, P384)
	if err != nil {
		return nil, p.fail(err)
	}
	if p.version != "" {
		return nil, p.fail(errors.New("a version cannot be asked for: leave it out, Azure chooses it"))
	}
	client, err := p.client(o)
	if err == nil {
		err = p.make(ctx, client, kind, o)
	}
	if err != nil {
		return nil, p.fail(err)
	}
	return p.open(ctx, o)
}

func (p azurePlace) make(ctx context.Context, client *azkeys.Client, kind Kind, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, max(o.Timeout, makeTime))
	defer cancel()
	_, err := client.GetKey(ctx, p.key, "", nil)
	if err == nil {
		return ErrTaken
	}
	if err := azureError(err); !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("look for the key: %w", err)
	}
	kty, curve := azkeys.KeyTypeEC, azkeys.CurveNameP256
	if kind == P384 {
		curve = azkeys.CurveNameP384
	}
	sign, verify := azkeys.KeyOperationSign, azkeys.KeyOperationVerify
	_, err = client.CreateKey(ctx, p.key, azkeys.CreateKeyParameters{Kty: &kty, Curve: &curve, KeyOps: []*azkeys.KeyOperation{&sign, &verify}}, nil)
	if err != nil {
		return fmt.Errorf("make the key: %w", azureError(err))
	}
	return nil
}
