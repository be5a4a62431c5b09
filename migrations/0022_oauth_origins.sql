-- The origins of web pages that may use the API in a browser for an OAuth client, as browsers send them (CORS).
ALTER TABLE access.oauth_clients ADD COLUMN origins text[] NOT NULL DEFAULT '{}';
