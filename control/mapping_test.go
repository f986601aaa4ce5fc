package control_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"

	"github.com/sekisho/sekisho/control"
)

// A host lists for each login what its target's mapping puts into certificates.
func TestHostsListTheMapping(t *testing.T) {
	h := newHouse(t)
	token := must(control.NewJoinToken(t.Context(), h.db, h.log.Append, control.JoinParams{Actor: "control", Now: h.now(), Targets: []sekisho.Target{
		{Name: "c1", Class: "ci", Mapping: sekisho.MapClass, Logins: []string{"deploy"}},
		{Name: "e1", Mapping: sekisho.MapEmail, Logins: []string{"deploy"}},
		{Name: "l1", Mapping: sekisho.MapLogin, Logins: []string{"deploy"}},
		{Name: "p1", Mapping: sekisho.MapAnyone, Logins: []string{"deploy"}},
		{Name: "t1", Mapping: sekisho.MapTarget, Logins: []string{"deploy"}},
	}}))(t)
	rack := h.device()
	if _, err := rack.join(token, "rack"); err != nil {
		t.Fatal(err)
	}
	state := must(rack.sync())(t)
	got := map[string][]string{}
	for _, s := range state.Targets {
		got[s.Name] = s.Principals["deploy"].GetPrincipals()
	}
	want := map[string][]string{"c1": {"deploy:ci"}, "e1": nil, "l1": {"deploy"}, "p1": {"people"}, "t1": {"deploy:t1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if ev := h.events(sekisho.EventTargetAdded); ev[len(ev)-1].Detail["mapping"] != "class" || ev[0].Detail["mapping"] != "target" {
		t.Errorf("noted %v", ev[0].Detail)
	}
}

// What would mean two things at once is no target.
func TestMappingsThatCollide(t *testing.T) {
	h := newHouse(t)
	class := func(name, class string) sekisho.Target {
		return sekisho.Target{Name: name, Class: class, Mapping: sekisho.MapClass, Logins: []string{"deploy"}}
	}
	add := func(targets ...sekisho.Target) error {
		_, err := control.NewJoinToken(t.Context(), h.db, h.log.Append, control.JoinParams{Actor: "control", Now: h.now(), Targets: targets})
		return err
	}
	for name, targets := range map[string][]sekisho.Target{
		"a class that is a target": {class("ci1", "web1")},
		"both at once":             {class("ci1", "new1"), {Name: "new1", Logins: []string{"deploy"}}},
		"its own name":             {class("ci1", "db1")},
		"no class":                 {class("ci1", "")},
		"a class with a slash":     {class("ci1", "a/b")},
		"the word people":          {{Name: "l1", Mapping: sekisho.MapLogin, Logins: []string{"people"}}},
		"an unknown mapping":       {{Name: "l1", Mapping: "any", Logins: []string{"deploy"}}},
	} {
		if err := add(targets...); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if n := len(h.events(sekisho.EventTargetAdded)); n != 0 {
		t.Errorf("%d targets were noted", n)
	}
	if err := add(class("ci1", "ci")); err != nil {
		t.Fatal(err)
	}
	if err := add(sekisho.Target{Name: "ci", Logins: []string{"deploy"}}); err == nil {
		t.Error("a target got the name of a class by which others are opened")
	}
}
