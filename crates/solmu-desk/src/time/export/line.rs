//! A line of a bill, as CSV (RFC 4180) or as JSON.

use serde_json::json;
use solmu_db::SqlTimestamp;
use uuid::Uuid;

/// The columns of the CSV, and the names of the values in JSON.
pub(super) const NAMES: [&str; 20] = [
    "entry_id",
    "ticket_number",
    "ticket_id",
    "subject",
    "contact_id",
    "contact_name",
    "organization_ids",
    "organization_names",
    "agent_id",
    "agent_name",
    "category",
    "activity",
    "billable",
    "start_time",
    "seconds",
    "hourly_rate",
    "currency",
    "amount",
    "note",
    "book_time",
];

/// An entry with what a bill says of its ticket.
pub(super) struct Line {
    pub(super) id: Uuid,
    number: i64,
    ticket_id: Uuid,
    subject: String,
    contact_id: Uuid,
    contact_name: String,
    organization_ids: Vec<Uuid>,
    organization_names: Vec<String>,
    agent_id: String,
    agent_name: String,
    category: String,
    activity: String,
    billable: bool,
    pub(super) started_at: SqlTimestamp,
    seconds: i64,
    rate: String,
    currency: String,
    amount: String,
    note: String,
    /// Its place in the order of booking.
    pub(super) booking: i64,
    booked_at: SqlTimestamp,
}
solmu_db::from_row!(Line {
    id,
    number,
    ticket_id,
    subject,
    contact_id,
    contact_name,
    organization_ids,
    organization_names,
    agent_id,
    agent_name,
    category,
    activity,
    billable,
    started_at,
    seconds,
    rate,
    currency,
    amount,
    note,
    booking,
    booked_at
});

impl Line {
    /// Its line, with its end.
    pub(super) fn written(&self, csv: bool) -> String {
        let ids: Vec<String> = self.organization_ids.iter().map(Uuid::to_string).collect();
        let start = self.started_at.to_jiff().to_string();
        let booked = self.booked_at.to_jiff().to_string();
        if !csv {
            let line = json!({
                "entry_id": self.id, "ticket_number": self.number, "ticket_id": self.ticket_id,
                "subject": self.subject, "contact_id": self.contact_id, "contact_name": self.contact_name,
                "organization_ids": ids, "organization_names": self.organization_names,
                "agent_id": self.agent_id, "agent_name": self.agent_name, "category": self.category,
                "activity": self.activity, "billable": self.billable, "start_time": start,
                "seconds": self.seconds, "hourly_rate": self.rate, "currency": self.currency,
                "amount": self.amount, "note": self.note, "book_time": booked,
            });
            return format!("{line}\n");
        }
        let cells: [String; 20] = [
            self.id.to_string(),
            self.number.to_string(),
            self.ticket_id.to_string(),
            cell(&self.subject),
            self.contact_id.to_string(),
            cell(&self.contact_name),
            cell(&ids.join(";")),
            cell(&self.organization_names.join(";")),
            cell(&self.agent_id),
            cell(&self.agent_name),
            cell(&self.category),
            cell(&self.activity),
            self.billable.to_string(),
            start,
            self.seconds.to_string(),
            self.rate.clone(),
            self.currency.clone(),
            self.amount.clone(),
            cell(&self.note),
            booked,
        ];
        format!("{}\r\n", cells.join(","))
    }
}

/// A text as a cell of CSV that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let safe = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if safe.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", safe.replace('"', "\"\""));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_text_and_nothing_else() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("-2,5", "\"'-2,5\""),
            ("@me", "'@me"),
        ] {
            assert_eq!(cell(text), wanted);
        }
    }
}
