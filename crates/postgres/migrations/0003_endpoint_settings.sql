-- What of an endpoint is usually left as it is: only what differs from its default is written, so that `{}` is an
-- endpoint without settings. What is secret in it (header values, a client's certificate and key) is sealed.
ALTER TABLE endpoints ADD COLUMN settings json NOT NULL DEFAULT '{}';
