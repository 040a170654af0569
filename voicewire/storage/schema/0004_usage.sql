-- What was used, by the day (UTC): kept in the transaction that writes the entries, so that a year is read at once.

CREATE TABLE usage_days (
    tenant      text NOT NULL,
    day         date NOT NULL,
    model       text NOT NULL,
    voice       text NOT NULL,
    key_id      text NOT NULL,
    ms          bigint NOT NULL,                -- charged, less what was given back
    audio_ms    bigint NOT NULL,
    cached_ms   bigint NOT NULL,                -- of audio_ms, what had been made before
    requests    bigint NOT NULL,                -- streams that began
    PRIMARY KEY (tenant, day, model, voice, key_id)
);
CREATE INDEX usage_days_day ON usage_days (day);

CREATE INDEX entries_latest ON entries (tenant, id DESC);

CREATE FUNCTION count_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_days AS days (tenant, day, model, voice, key_id, ms, audio_ms, cached_ms, requests)
    SELECT tenant, (at AT TIME ZONE 'UTC')::date, model, voice, key_id,
           sum(ms), sum(audio_ms), coalesce(sum(audio_ms) FILTER (WHERE cached), 0), count(*) FILTER (WHERE NOT EXISTS (
               SELECT FROM entries AS before
               WHERE before.tenant = fresh.tenant AND before.stream = fresh.stream AND before.id < fresh.id))
    FROM fresh
    WHERE stream <> 'grant'
    GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1, 2, 3, 4, 5                      -- who counts at the same time locks the rows in the same order
    ON CONFLICT (tenant, day, model, voice, key_id) DO UPDATE SET
        ms = days.ms + excluded.ms,
        audio_ms = days.audio_ms + excluded.audio_ms,
        cached_ms = days.cached_ms + excluded.cached_ms,
        requests = days.requests + excluded.requests;
    RETURN NULL;
END $$;

CREATE TRIGGER entries_usage_days AFTER INSERT ON entries
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION count_usage();
