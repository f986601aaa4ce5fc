package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// A target has a line for each door and limits that its logins lead to.
func TestTargetsTellLimits(t *testing.T) {
	const all, files = `{"ttl":1,"pty":true,"shell":true,"exec":true,"subsystems":["*"]}`, `{"audit":"strict","ttl":1,"subsystems":["sftp"],"files":[{"read_only":true}]}`
	m := &apiv1.TargetsResponse{
		Limits: [][]byte{[]byte(all), []byte(files)},
		Targets: []*apiv1.Target{
			{Name: "db1", Logins: []string{"look", "ops", "root"}, Door: "audit", Linked: true, Labels: []string{"env:prod"}, Access: []*apiv1.Access{
				{Login: "look", Door: "audit", Limits: 1}, {Login: "ops", Door: "pass"}, {Login: "root", Door: "pass"},
			}},
			{Name: "old", Logins: []string{"a", "b"}, Door: "audit"},
		},
	}
	list, err := readTargets(m)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, target := range list {
		rows = append(rows, target.rows()...)
	}
	if diff := cmp.Diff([][]string{
		{"db1", "look", "audit", "up", "env:prod", "no shell, no exec, subsystem sftp, files read-only"},
		{"db1", "ops,root", "pass", "up", "env:prod", ""},
		{"old", "a,b", "audit", "down", "", ""},
	}, rows); diff != "" {
		t.Error(diff)
	}
	m.Targets[0].Access[0].Limits = 2
	if _, err := readTargets(m); err == nil {
		t.Error("limits that were not sent are read")
	}
}
