-- Targets by address. first and last are the ends of a range, 16 bytes in network order, IPv4 as ::ffff:a.b.c.d.

CREATE TABLE target_addresses (
	first  {{blob}} NOT NULL,
	last   {{blob}} NOT NULL,
	target TEXT NOT NULL,
	PRIMARY KEY (first, last)
);
CREATE INDEX target_addresses_target ON target_addresses (target);
