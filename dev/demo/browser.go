package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// client trusts the demo's own CA.
func (h *house) client() (*http.Client, error) {
	pem, err := os.ReadFile(h.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &http.Client{Jar: jar, Timeout: 30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}, nil
}

func get(c *http.Client, address string) error {
	if c == nil {
		c = &http.Client{Timeout: 2 * time.Second}
	}
	resp, err := c.Get(address)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, resp.Status)
	}
	return nil
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// fillForms is the browser of someone who signs in: it follows redirects, fills in the IdP's form, and confirms
// what control asks.
func fillForms(ctx context.Context, file, name, address string) error {
	h, err := loadHouse(file)
	if err != nil {
		return err
	}
	p := h.People[name]
	if p == nil {
		return fmt.Errorf("nobody is called %q here", name)
	}
	client, err := h.client()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	for range 8 {
		if err != nil {
			return err
		}
		resp, err2 := client.Do(req)
		if err2 != nil {
			return err2
		}
		page, err2 := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		if err2 != nil {
			return err2
		}
		if resp.StatusCode >= 400 {
			return fmt.Errorf("%s: %s\n%s", resp.Request.URL, resp.Status, page)
		}
		if form := parseForm(string(page)); form != nil {
			req, err = form.submit(ctx, resp.Request.URL, p)
		} else if next := refresh.FindStringSubmatch(string(page)); next != nil {
			req, err = http.NewRequestWithContext(ctx, http.MethodGet, html.UnescapeString(next[1]), nil)
		} else {
			return nil // the last page
		}
	}
	return errors.New("the forms do not end")
}

type form struct {
	action string
	fields url.Values
}

var (
	formTag   = regexp.MustCompile(`(?is)<form\b([^>]*)>(.*?)</form>`)
	refresh   = regexp.MustCompile(`(?is)<meta http-equiv="refresh" content="0;url=([^"]*)"`)
	inputTag  = regexp.MustCompile(`(?is)<(?:input|button)\b([^>]*)>`)
	attribute = regexp.MustCompile(`(?is)\b([a-z-]+)\s*=\s*"([^"]*)"`)
)

// parseForm finds the first form that posts.
func parseForm(page string) *form {
	for _, m := range formTag.FindAllStringSubmatch(page, -1) {
		attrs := attributes(m[1])
		if !strings.EqualFold(attrs["method"], "post") {
			continue
		}
		f := &form{action: attrs["action"], fields: url.Values{}}
		for _, in := range inputTag.FindAllStringSubmatch(m[2], -1) {
			a := attributes(in[1])
			if a["name"] != "" && f.fields.Get(a["name"]) == "" {
				f.fields.Set(a["name"], a["value"])
			}
		}
		return f
	}
	return nil
}

func attributes(tag string) map[string]string {
	m := map[string]string{}
	for _, a := range attribute.FindAllStringSubmatch(tag, -1) {
		m[strings.ToLower(a[1])] = html.UnescapeString(a[2])
	}
	return m
}

func (f *form) submit(ctx context.Context, page *url.URL, p *person) (*http.Request, error) {
	if _, ok := f.fields["password"]; ok {
		f.fields.Set("login", p.Email)
		f.fields.Set("password", p.Password)
	}
	to, err := page.Parse(f.action)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(f.fields.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", to.Scheme+"://"+to.Host)
	req.Header.Set("Referer", page.String())
	return req, nil
}
