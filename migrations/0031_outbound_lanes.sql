-- The next message of each lane is found without reading what waits behind lanes that rest (solmu-connector,
-- outbound/claim.rs). The names of lanes are compared by their bytes, as the program compares them. Neither claimed nor
-- finished is queued; it is said like this so that the planner has no other index for the same question.
CREATE INDEX outbound_lane ON connector.outbound (channel, lane COLLATE "C", next_attempt_at, sequence)
    WHERE claimed_until IS NULL AND finished_at IS NULL;
