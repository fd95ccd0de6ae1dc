//! What an export says of each table of the database: in it, or why not.
//!
//! Every table is here, also those of other services: a test compares the list with the database, so that whoever adds a
//! table has to decide whether something of a person is in it. Rows are exported whole but for named columns, so that a
//! new column is in the export before somebody thinks of it.

/// Statements whose rows are exported, each row as an object of the given type. `$1`: the contacts that the person is made
/// of; `$2`: the values that only they are known by.
pub(crate) const EXPORTED: [Exported; 19] = [
    Exported {
        kind: "contact",
        table: "tickets.contact",
        statement: "SELECT to_jsonb(it) - 'request_id' FROM tickets.contact AS it WHERE id = ANY($1) AND $2 IS NOT NULL
            ORDER BY created_at, id",
    },
    Exported {
        kind: "organization",
        table: "tickets.organization",
        // What the desk notes of an organisation is not about its people.
        statement: "SELECT jsonb_build_object('id', id, 'display_name', display_name, 'created_at', created_at)
            FROM tickets.organization WHERE $2 IS NOT NULL AND id IN
                (SELECT organization_id FROM tickets.contact WHERE contact.id = ANY($1)) ORDER BY id",
    },
    Exported {
        kind: "identity",
        table: "tickets.identity",
        statement: "SELECT to_jsonb(it) FROM tickets.identity AS it WHERE contact_id = ANY($1) AND $2 IS NOT NULL
            ORDER BY kind, scope, value",
    },
    Exported {
        // Which portals said that it is theirs.
        kind: "attestation",
        table: "tickets.identity_attestation",
        statement: "SELECT to_jsonb(it) FROM tickets.identity JOIN tickets.identity_attestation AS it USING (kind, scope, value)
            WHERE identity.contact_id = ANY($1) AND $2 IS NOT NULL ORDER BY it.first_at, kind, scope, value",
    },
    Exported {
        kind: "sighting",
        table: "tickets.sighting",
        statement: "SELECT to_jsonb(it) - 'pending' FROM tickets.sighting AS it
            WHERE contact_id = ANY($1) AND $2 IS NOT NULL ORDER BY seen_at, id",
    },
    Exported {
        kind: "merge",
        table: "tickets.contact_merge",
        statement: "SELECT to_jsonb(it) - 'request_id' - 'place' FROM tickets.contact_merge AS it
            WHERE (winner_id = ANY($1) OR loser_id = ANY($1)) AND $2 IS NOT NULL ORDER BY created_at, id",
    },
    Exported {
        kind: "merge_suggestion",
        table: "tickets.merge_suggestion",
        statement: "SELECT to_jsonb(it) FROM tickets.merge_suggestion AS it
            WHERE (first_id = ANY($1) OR second_id = ANY($1)) AND $2 IS NOT NULL ORDER BY created_at, first_id, second_id",
    },
    Exported {
        kind: "apart",
        table: "tickets.contact_apart",
        statement: "SELECT to_jsonb(it) FROM tickets.contact_apart AS it
            WHERE (first_id = ANY($1) OR second_id = ANY($1)) AND $2 IS NOT NULL ORDER BY created_at, first_id, second_id",
    },
    Exported {
        kind: "blocked_sender",
        table: "tickets.blocked_sender",
        statement: "SELECT to_jsonb(it) FROM tickets.blocked_sender AS it WHERE pattern = ANY($2) AND $1 IS NOT NULL
            ORDER BY pattern",
    },
    Exported {
        kind: "ticket",
        table: "tickets.ticket",
        // Who may see it is about colleagues.
        statement: "SELECT to_jsonb(it) - 'restricted_to' FROM tickets.ticket AS it
            WHERE contact_id = ANY($1) AND $2 IS NOT NULL ORDER BY created_at, id",
    },
    Exported {
        kind: "ticket_link",
        table: "tickets.ticket_link",
        statement: "SELECT DISTINCT to_jsonb(it) FROM tickets.ticket
            JOIN tickets.ticket_link AS it ON it.ticket_id = ticket.id OR it.other_id = ticket.id
            WHERE ticket.contact_id = ANY($1) AND $2 IS NOT NULL",
    },
    Exported {
        kind: "ticket_merge",
        table: "tickets.ticket_merge",
        // Participants may be other people.
        statement: "SELECT DISTINCT to_jsonb(it) - 'participants' FROM tickets.ticket
            JOIN tickets.ticket_merge AS it ON it.source_id = ticket.id OR it.target_id = ticket.id
            WHERE ticket.contact_id = ANY($1) AND $2 IS NOT NULL",
    },
    Exported {
        kind: "participant",
        table: "tickets.participant",
        statement: "SELECT to_jsonb(it) FROM tickets.participant AS it WHERE address = ANY($2) AND $1 IS NOT NULL
            ORDER BY ticket_id, address",
    },
    Exported {
        kind: "matter",
        table: "tickets.matter",
        statement: "SELECT to_jsonb(it) - 'request_id' FROM tickets.matter AS it
            WHERE contact_id = ANY($1) AND $2 IS NOT NULL ORDER BY created_at, id",
    },
    Exported {
        // Whom outside their matters were shown to, and where they were asked themselves.
        kind: "side_conversation",
        table: "tickets.side_conversation",
        statement: "SELECT to_jsonb(it) FROM tickets.side_conversation AS it WHERE address = ANY($2) OR ticket_id IN
                (SELECT ticket.id FROM tickets.ticket WHERE contact_id = ANY($1)) ORDER BY created_at, id",
    },
    Exported {
        kind: "task",
        table: "tickets.task",
        statement: "SELECT to_jsonb(it) - 'request_id' FROM tickets.ticket JOIN tickets.task AS it ON it.ticket_id = ticket.id
            WHERE ticket.contact_id = ANY($1) AND $2 IS NOT NULL ORDER BY it.created_at, it.id",
    },
    Exported {
        kind: "time_entry",
        table: "tickets.time_entry",
        statement: "SELECT to_jsonb(it) - 'request_id' - 'stop_request_id' FROM tickets.ticket
            JOIN tickets.time_entry AS it ON it.ticket_id = ticket.id
            WHERE ticket.contact_id = ANY($1) AND $2 IS NOT NULL ORDER BY it.started_at, it.id",
    },
    Exported {
        kind: "order",
        table: "tickets.catalogue_order",
        statement: "SELECT to_jsonb(it) - 'request_id' - 'digest' FROM tickets.catalogue_order AS it
            WHERE contact_id = ANY($1) AND $2 IS NOT NULL ORDER BY created_at, id",
    },
    Exported {
        // Without what proves a link: that is its signature, which is kept nowhere.
        kind: "public_link",
        table: "tickets.public_link",
        statement: "SELECT to_jsonb(it) - 'request_id' FROM tickets.public_link AS it
            WHERE contact_id = ANY($1) AND $2 IS NOT NULL ORDER BY created_at, id",
    },
];

/// Rows that are exported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exported {
    /// The type of the lines.
    pub(crate) kind: &'static str,
    /// The table that they are rows of.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the test that compares"))]
    pub(crate) table: &'static str,
    pub(crate) statement: &'static str,
}

/// Tables that are exported in parts, for they may be large.
#[cfg(test)]
pub(crate) const IN_PARTS: [&str; 4] = [
    "tickets.message",
    "tickets.raw_original",
    "tickets.activity",
    "tickets.quarantine",
];

/// Tables that are not exported, and why.
#[cfg(test)]
pub(crate) const NOT_EXPORTED: [(&str, &[&str]); 9] = [
    (
        "of the people and programs who work with it",
        &[
            "access.token",
            "access.restriction",
            "access.restricting_rule",
            "tickets.lifted_restriction",
            "tickets.restricted_kin",
            "tickets.agent",
            "tickets.follower",
            "tickets.viewer",
            "tickets.saved_view",
            "routing.team",
            "routing.agent",
            "routing.agent_team",
            "routing.absence",
            "sla.team_calendar",
            "sla.team_contact",
            "email.hook_token",
        ],
    ),
    (
        "the desk's own words and rules, which name nobody",
        &[
            "tickets.desk_item",
            "tickets.field",
            "tickets.substatus",
            "tickets.contact_attribute",
            "tickets.organization_domain",
            "routing.rule",
            "routing.rule_set",
            "routing.rule_version",
            "sla.catalogue",
            "sla.calendar",
            "sla.policy",
            "sla.edit",
        ],
    ),
    (
        "states and times of the tickets that are in it: who decided what when",
        &[
            "routing.ticket",
            "routing.decision",
            "routing.offer",
            "routing.pull",
            "sla.ticket_clock",
            "sla.clock_event",
            "sla.cycle",
            "sla.webhook_call",
            "sla.own_change",
        ],
    ),
    (
        "made of what is in it, and removed with it",
        &[
            "tickets.search_document",
            "tickets.search_queue",
            "tickets.search_span",
            "tickets.sighting_value",
        ],
    ),
    (
        "where messages belong: their ids, and addresses that stand in them",
        &[
            "tickets.thread_key",
            "tickets.thread_claim",
            "tickets.merged_message",
            "tickets.quarantine_key",
            "tickets.early_report",
            "tickets.loop_budget",
        ],
    ),
    (
        "copies of messages that are in it, until they are sent or the session is over",
        &["connector.outbound", "chat.session", "chat.message"],
    ),
    (
        "on its way between services, and gone after minutes",
        &[
            "tickets.outbox",
            "tickets.inbox",
            "routing.outbox",
            "routing.inbox",
            "sla.outbox",
            "sla.inbox",
        ],
    ),
    (
        "digests, keys and ids that say nothing of anybody",
        &[
            "tickets.activity_head",
            "tickets.change_request",
            "tickets.requester_request",
            "tickets.contact_call",
            "tickets.erased_object",
            "routing.call",
            "routing.erased_contact",
            "sla.erased_contact",
        ],
    ),
    (
        "of the machines",
        &[
            "platform.lease",
            "platform.member",
            "email.cursor",
            "email.skipped",
            "public._sqlx_migrations",
        ],
    ),
];

#[cfg(test)]
#[path = "inventory_tests.rs"]
mod tests;
