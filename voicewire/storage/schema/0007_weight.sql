-- How much of a crowded server a tenant gets beside others: twice the weight, twice the work.

ALTER TABLE plans ADD COLUMN weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000);
