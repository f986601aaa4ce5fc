package blob

import (
	"strings"
	"testing"
)

func FuzzKeys(f *testing.F) {
	f.Add("[default]\naws_access_key_id = a\naws_secret_access_key=b\n# c\n[x]\naws_access_key_id = no")
	f.Add("aws_session_token")
	f.Add("[\n=\n")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseKeys(strings.NewReader(text))
		if err == nil && !strings.Contains(text, v.SecretAccessKey) {
			t.Errorf("%q out of %q", v.SecretAccessKey, text)
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add("ses_aaaaaaaaaaaaaaaaaaaaaaaaaa/000012.seg")
	f.Add("ses_aaaaaaaaaaaaaaaaaaaaaaaaaa/manifest.json")
	f.Fuzz(func(t *testing.T, name string) {
		session, n, err := ParseName(name)
		if err != nil {
			return
		}
		want := Manifest(session)
		if n >= 0 {
			want = Segment(session, n)
		}
		if name != want {
			t.Errorf("%q is taken for %q", name, want)
		}
	})
}
