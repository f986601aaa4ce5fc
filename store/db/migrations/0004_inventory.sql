-- Certificates by principal, and by what few or very many of them have: the newest are walked, and may all be others.
CREATE TABLE certificate_principals (
	principal TEXT NOT NULL,
	serial    BIGINT NOT NULL,
	PRIMARY KEY (principal, serial)
);
CREATE INDEX certificates_issuer ON certificates (issuer, serial);
CREATE INDEX certificates_ca ON certificates (ca, serial);
CREATE INDEX certificates_type ON certificates (type, serial);
