-- What the certificate authority keeps. Times are nanoseconds since 1970 in UTC, NULL where there is none; bodies are JSON.

-- Certificates by what they are looked for by. Made from the lines of the audit log, and can be made anew from them.
CREATE TABLE certificates (
	serial       BIGINT PRIMARY KEY,
	issued       BIGINT NOT NULL,
	valid_before BIGINT NOT NULL,
	subject      TEXT NOT NULL,
	issuer       TEXT NOT NULL,
	type         TEXT NOT NULL,
	sign_in      TEXT,
	request      TEXT,
	target       TEXT,
	key          TEXT NOT NULL,
	ca           TEXT NOT NULL,
	principals   TEXT NOT NULL
);
CREATE INDEX certificates_issued ON certificates (issued);
CREATE INDEX certificates_valid_before ON certificates (valid_before, serial);
CREATE INDEX certificates_subject ON certificates (subject, serial);
CREATE INDEX certificates_key ON certificates (key, serial);
CREATE INDEX certificates_sign_in ON certificates (sign_in, serial) WHERE sign_in IS NOT NULL;
CREATE INDEX certificates_request ON certificates (request, serial) WHERE request IS NOT NULL;
CREATE INDEX certificates_target ON certificates (target, serial) WHERE target IS NOT NULL;

CREATE TABLE cas (
	name     TEXT PRIMARY KEY,
	revision BIGINT NOT NULL,
	body     TEXT NOT NULL
);

CREATE TABLE host_reports (
	target TEXT PRIMARY KEY,
	body   TEXT NOT NULL
);

CREATE TABLE revocations (
	id     TEXT PRIMARY KEY,
	seq    BIGINT NOT NULL,
	ends   BIGINT, -- when it does by itself
	lifted BIGINT,
	body   TEXT NOT NULL
);
CREATE INDEX revocations_seq ON revocations (seq);

CREATE TABLE tokens (
	id      TEXT PRIMARY KEY,
	expires BIGINT NOT NULL,
	ended   BIGINT,
	hash    {{blob}} NOT NULL,
	body    TEXT NOT NULL
);

CREATE TABLE published_keys (
	id        TEXT PRIMARY KEY,
	published BIGINT NOT NULL,
	expires   BIGINT NOT NULL,
	withdrawn BIGINT,
	key       TEXT NOT NULL, -- fingerprint
	person    TEXT NOT NULL, -- subject of who published it
	body      TEXT NOT NULL
);
CREATE INDEX published_keys_published ON published_keys (published, id);
CREATE INDEX published_keys_expires ON published_keys (expires);
CREATE INDEX published_keys_key ON published_keys (key, published, id);
CREATE INDEX published_keys_person ON published_keys (person, published, id);

CREATE TABLE published_key_targets (
	target TEXT NOT NULL,
	id     TEXT NOT NULL,
	PRIMARY KEY (target, id)
);
