package keystore

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
)

func TestEncrypt(t *testing.T) {
	for _, der := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("x"), 16), bytes.Repeat([]byte("x"), 47)} {
		sealed, err := encrypt(der, []byte("a"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := decrypt(sealed, []byte("a"))
		if err != nil || !bytes.Equal(got, der) {
			t.Errorf("%q %v", got, err)
		}
		if got, err := decrypt(sealed, []byte("b")); err == nil && bytes.Equal(got, der) || err != nil && !errors.Is(err, ErrSecret) {
			t.Errorf("%q %v", got, err)
		}
		var e encryptedKey
		if _, err := asn1.Unmarshal(sealed, &e); err != nil {
			t.Fatal(err)
		}
		if d := e.Algorithm.Params.Derivation.Params; d.Rounds != 600_000 || len(d.Salt) != 16 || !d.PRF.Algorithm.Equal(oidHMACSHA256) || !e.Algorithm.Params.Cipher.ID.Equal(oidAES256CBC) {
			t.Errorf("%+v", e)
		}
		e.Algorithm.Params.Derivation.Params.Rounds = maxRounds + 1
		slow, err := asn1.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decrypt(slow, []byte("a")); err == nil || !strings.Contains(err.Error(), "rounds") {
			t.Error(err)
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	sealed, err := encrypt([]byte("key"), []byte("a"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed[:20])
	var e encryptedKey
	if _, err := asn1.Unmarshal(sealed, &e); err != nil {
		f.Fatal(err)
	}
	e.Algorithm.Params.Derivation.Params.Rounds = 1
	if sealed, err = asn1.Marshal(e); err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, sealed []byte) {
		var e encryptedKey
		if _, err := asn1.Unmarshal(sealed, &e); err == nil && e.Algorithm.Params.Derivation.Params.Rounds > 1000 {
			return // right, and slow
		}
		decrypt(sealed, []byte("a"))
	})
}
