-- What a subscription sends instead of its endpoint's usual request; null means that.
ALTER TABLE subscriptions ADD COLUMN mapping json;

-- Why the last attempt failed, or why there was none, in words: where an event can't be mapped, the place in the
-- mapping and the field.
ALTER TABLE deliveries ADD COLUMN last_error_message text;
