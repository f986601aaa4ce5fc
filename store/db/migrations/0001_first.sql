-- The first tables. Times are nanoseconds since 1970 in UTC, NULL where there is none; bodies are JSON.

CREATE TABLE pending (
	key     TEXT PRIMARY KEY,
	expires BIGINT NOT NULL,
	body    {{blob}} NOT NULL
);
CREATE INDEX pending_expires ON pending (expires);

CREATE TABLE signins (
	id         TEXT PRIMARY KEY,
	subject    TEXT NOT NULL,
	expires    BIGINT NOT NULL,
	ended      BIGINT,
	token_hash {{blob}} NOT NULL,
	body       TEXT NOT NULL
);
CREATE INDEX signins_subject ON signins (subject, expires);

CREATE TABLE targets (
	name TEXT PRIMARY KEY,
	body TEXT NOT NULL
);

CREATE TABLE connectors (
	id         TEXT PRIMARY KEY,
	ended      BIGINT,
	token_hash {{blob}} NOT NULL,
	body       TEXT NOT NULL
);

CREATE TABLE recordings (
	session TEXT PRIMARY KEY,
	person  TEXT NOT NULL,
	target  TEXT NOT NULL,
	state   TEXT NOT NULL,
	started BIGINT NOT NULL,
	body    TEXT NOT NULL
);
CREATE INDEX recordings_started ON recordings (started, session);
CREATE INDEX recordings_person ON recordings (person, started, session);
CREATE INDEX recordings_target ON recordings (target, started, session);
CREATE INDEX recordings_state ON recordings (state, started, session);

-- One row a line of the audit log. hashes are the 32-byte hashes that this leaf completes, one after the other.
CREATE TABLE audit_leaves (
	seq     {{seq}} PRIMARY KEY,
	hashes  {{blob}} NOT NULL,
	time    BIGINT NOT NULL,
	kind    TEXT NOT NULL,
	actor   TEXT,
	target  TEXT,
	session TEXT,
	line    TEXT NOT NULL
);
CREATE INDEX audit_leaves_time ON audit_leaves (time);
CREATE INDEX audit_leaves_kind ON audit_leaves (kind, seq);
CREATE INDEX audit_leaves_actor ON audit_leaves (actor, seq) WHERE actor IS NOT NULL;
CREATE INDEX audit_leaves_target ON audit_leaves (target, seq) WHERE target IS NOT NULL;
CREATE INDEX audit_leaves_session ON audit_leaves (session, seq) WHERE session IS NOT NULL;

CREATE TABLE audit_checkpoint (
	id   SMALLINT PRIMARY KEY,
	note TEXT NOT NULL
);
