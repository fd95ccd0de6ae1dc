-- Tickets that only some people see (threats, matters of staff).

-- Who sees a restricted ticket; no row: it is not restricted. Owned by solmu-runtime (access), because every service that
-- answers about a ticket asks it; written by the ticket service in the transaction that restricts the ticket.
CREATE TABLE access.restriction (
    ticket_id uuid   PRIMARY KEY,
    agent_ids uuid[] NOT NULL,
    team_ids  uuid[] NOT NULL
);

-- Agents and teams of its restriction, for lists: null if it is not restricted.
ALTER TABLE tickets.ticket ADD COLUMN restricted_to uuid[];
