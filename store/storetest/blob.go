package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
)

// Blobs runs what every store of recordings must do. Each call of open gives one that is empty, or that nobody else
// uses sessions of.
func Blobs(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, blob.Store)
	}{
		{"PutGet", blobPutGet}, {"Overwritten", blobOverwritten}, {"ShortAndLong", blobShortAndLong}, {"Offsets", blobOffsets},
		{"Missing", blobMissing}, {"Names", blobNames}, {"List", blobList}, {"AtOnce", blobAtOnce}, {"Ended", blobEnded},
		{"BrokenReader", blobBrokenReader},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// put tries again, as the spool does: a server may hang up on a connection in the moment in which it is used again.
func put(t *testing.T, s blob.Store, name string, content []byte) {
	t.Helper()
	var err error
	for range 3 {
		if err = s.Put(context.Background(), name, bytes.NewReader(content), int64(len(content))); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func get(t *testing.T, s blob.Store, name string, offset int64) []byte {
	t.Helper()
	body, size, err := s.Get(context.Background(), name, offset)
	ok(t, err)
	content, err := io.ReadAll(body)
	ok(t, errors.Join(err, body.Close()))
	told, err := s.Size(context.Background(), name)
	ok(t, err)
	if int64(len(content)) != size-offset || told != size {
		t.Fatalf("%s from %d on: %d bytes of %d", name, offset, len(content), size)
	}
	return content
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func blobPutGet(t *testing.T, s blob.Store) {
	session := sekisho.NewID("ses")
	for i, size := range []int{0, 1, 70_000, 9 << 20} {
		want := noise(size)
		put(t, s, blob.Segment(session, i), want)
		if got := get(t, s, blob.Segment(session, i), 0); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back different", size)
		}
	}
}

func blobOverwritten(t *testing.T, s blob.Store) {
	name := blob.Manifest(sekisho.NewID("ses"))
	for _, text := range []string{`{"segments":1}`, `{"segments":1}`, `{"segments":22222}`, `{}`} {
		put(t, s, name, []byte(text))
		if got := string(get(t, s, name, 0)); got != text {
			t.Fatalf("%q, want %q", got, text)
		}
	}
}

// What has another size than was said is not stored, and leaves what was there.
func blobShortAndLong(t *testing.T, s blob.Store) {
	name := blob.Manifest(sekisho.NewID("ses"))
	if err := s.Put(context.Background(), name, strings.NewReader("four"), 5); err == nil {
		t.Fatal("4 bytes were stored as 5")
	}
	if _, _, err := s.Get(context.Background(), name, 0); !errors.Is(err, sekisho.ErrNotFound) {
		t.Fatalf("a part is there: %v", err)
	}
	put(t, s, name, []byte("before"))
	if err := s.Put(context.Background(), name, strings.NewReader("four"), 70_000); err == nil {
		t.Fatal("4 bytes were stored as 70,000")
	}
	if got := string(get(t, s, name, 0)); got != "before" {
		t.Fatalf("%q is there now", got)
	}
}

func blobOffsets(t *testing.T, s blob.Store) {
	name := blob.Segment(sekisho.NewID("ses"), 0)
	put(t, s, name, []byte("0123456789"))
	for offset, want := range map[int64]string{0: "0123456789", 1: "123456789", 9: "9", 10: ""} {
		if got := string(get(t, s, name, offset)); got != want {
			t.Errorf("from %d on: %q", offset, got)
		}
	}
	for _, offset := range []int64{-1, 11, 1 << 40} {
		if body, _, err := s.Get(context.Background(), name, offset); err == nil {
			body.Close()
			t.Errorf("offset %d is read", offset)
		}
	}
}

func blobMissing(t *testing.T, s blob.Store) {
	session := sekisho.NewID("ses")
	for _, name := range []string{blob.Segment(session, 0), blob.Manifest(session)} {
		_, _, err := s.Get(context.Background(), name, 0)
		notFound(t, err)
		_, _, err = s.Get(context.Background(), name, 10)
		notFound(t, err)
		_, err = s.Size(context.Background(), name)
		notFound(t, err)
	}
	names, err := s.List(context.Background(), session+"/")
	ok(t, err)
	same(t, "names of nothing", len(names), 0)
}

// Mallory names objects elsewhere.
func blobNames(t *testing.T, s blob.Store) {
	session, ctx := sekisho.NewID("ses"), context.Background()
	for _, name := range []string{"", "/", session, session + "/", session + "/000000", session + "/0.seg", session + "/0000000.seg", session + "/-00001.seg",
		session + "/+00001.seg", session + "/000000.seg/", session + "/../000000.seg", "../" + session + "/000000.seg", "/" + session + "/000000.seg",
		session + "//000000.seg", session + "/manifest.json\x00", session + "/MANIFEST.JSON", strings.ToUpper(session) + "/000000.seg", "ses_x/000000.seg",
		sekisho.NewID("sin") + "/000000.seg", ".incoming/x", session + "\n/000000.seg"} {
		if err := s.Put(ctx, name, strings.NewReader("x"), 1); err == nil {
			t.Errorf("stored %q", name)
		}
		if body, _, err := s.Get(ctx, name, 0); err == nil {
			body.Close()
			t.Errorf("read %q", name)
		}
		if _, err := s.Size(ctx, name); err == nil {
			t.Errorf("measured %q", name)
		}
	}
	for _, prefix := range []string{"/", "ses_", "../", session, session + "/0", session + "/../"} {
		if _, err := s.List(ctx, prefix); err == nil {
			t.Errorf("listed %q", prefix)
		}
	}
}

func blobList(t *testing.T, s blob.Store) {
	one, two := sekisho.NewID("ses"), sekisho.NewID("ses")
	want := []string{blob.Segment(one, 0), blob.Segment(one, 1), blob.Segment(one, 1234), blob.Manifest(one)}
	var objects []blob.Object
	for i, name := range want {
		put(t, s, name, make([]byte, i))
		objects = append(objects, blob.Object{Name: name, Size: int64(i)})
	}
	put(t, s, blob.Segment(two, 0), []byte("x"))
	got, err := s.List(context.Background(), one+"/")
	ok(t, err)
	same(t, "objects of one session", got, objects)
	got, err = s.List(context.Background(), "")
	ok(t, err)
	ordered := slices.IsSortedFunc(got, func(a, b blob.Object) int { return strings.Compare(a.Name, b.Name) })
	if !ordered || !slices.Contains(got, blob.Object{Name: blob.Segment(two, 0), Size: 1}) || !slices.Contains(got, objects[3]) {
		t.Fatalf("all: %v", got)
	}
}

// The same object put by many at once is one of them, whole.
func blobAtOnce(t *testing.T, s blob.Store) {
	name := blob.Manifest(sekisho.NewID("ses"))
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			content := bytes.Repeat([]byte{byte('a' + i)}, 50_000)
			if err := s.Put(context.Background(), name, bytes.NewReader(content), int64(len(content))); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if got := get(t, s, name, 0); len(got) != 50_000 || !bytes.Equal(got, bytes.Repeat(got[:1], len(got))) {
		t.Fatalf("%d bytes of several", len(got))
	}
}

func blobEnded(t *testing.T, s blob.Store) {
	name := blob.Manifest(sekisho.NewID("ses"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Put(ctx, name, strings.NewReader("late"), 4); err == nil {
		t.Fatal("stored when it was to be no more")
	}
	_, _, err := s.Get(context.Background(), name, 0)
	notFound(t, err)
}

func blobBrokenReader(t *testing.T, s blob.Store) {
	name, broken := blob.Segment(sekisho.NewID("ses"), 0), errors.New("disk fell out")
	r := io.MultiReader(strings.NewReader("half"), &failing{broken})
	if err := s.Put(context.Background(), name, r, 8); err == nil {
		t.Fatal("half was stored")
	}
	_, _, err := s.Get(context.Background(), name, 0)
	notFound(t, err)
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
