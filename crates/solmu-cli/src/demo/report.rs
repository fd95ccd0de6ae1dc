//! What the demo shows in the end: the tickets, the answers, and whether everything came out as it should.

use std::fmt::Write as _;

use comfy_table::Table;
use jiff::Timestamp;
use serde::Serialize;
use solmu_proto::ticket::v1::Ticket;

use super::{answer::Answer, send::Sent};
use crate::{
    output::table,
    roster::Roster,
    views::{QuarantinedView, TicketView},
    words,
};

/// Characters of a line of the last column.
const OWNER_WIDTH: usize = 56;

/// One thing that should be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) ok: bool,
    /// What was found.
    pub(crate) found: String,
}

impl Check {
    pub(crate) fn new(name: impl Into<String>, ok: bool, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok,
            found: found.into(),
        }
    }

    /// A number that should be exactly so.
    pub(crate) fn count(name: impl Into<String>, expected: usize, found: usize) -> Self {
        Self::new(
            name,
            expected == found,
            if expected == found {
                String::new()
            } else {
                format!("{found}, not {expected}")
            },
        )
    }
}

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) run: String,
    pub(crate) sent: Sent,
    /// Messages on tickets.
    pub(crate) filed: usize,
    pub(crate) duplicates_dropped: usize,
    pub(crate) seconds: f64,
    pub(crate) tickets: Vec<TicketView>,
    pub(crate) quarantined: Vec<QuarantinedView>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) checks: Vec<Check>,
}

impl Report {
    /// Names of the checks that failed.
    pub(crate) fn failed(&self) -> Vec<&str> {
        self.checks
            .iter()
            .filter(|check| !check.ok)
            .map(|check| check.name.as_str())
            .collect()
    }

    /// What became of the messages, for people.
    pub(crate) fn render_intake(
        &self,
        tickets: &[Ticket],
        roster: &Roster,
        now: Timestamp,
    ) -> String {
        let mut page = format!(
            "\n{}\n\n{}\n",
            ticket_table(tickets, roster, now).trim_fmt(),
            self.counts()
        );
        for message in &self.quarantined {
            let subject = words::short(&message.subject, 50);
            // Writing to a String cannot fail.
            let _ = writeln!(
                page,
                "  in the quarantine: '{subject}', {}",
                words::spoken(&message.cause_code)
            );
        }
        for left_out in &self.sent.left_out {
            let _ = writeln!(page, "  left out: {}", words::short(left_out, 100));
        }
        page.truncate(page.trim_end().len());
        page
    }

    /// What became of the answers, and of everything else that should be so.
    pub(crate) fn render_answers(&self) -> String {
        let mut page: String = self.answers.iter().map(render_answer).collect();
        page.push('\n');
        for check in &self.checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            let found = if check.found.is_empty() {
                String::new()
            } else {
                format!(" ({})", check.found)
            };
            let _ = writeln!(page, "{mark}  {}{found}", check.name);
        }
        page.truncate(page.trim_end().len());
        page
    }

    fn counts(&self) -> String {
        format!(
            "{} messages sent, {} filed on {} tickets, {} dropped as duplicates, {} in the quarantine, in {:.1} s",
            self.sent.messages(),
            self.filed,
            self.tickets.len(),
            self.duplicates_dropped,
            self.quarantined.len(),
            self.seconds
        )
    }
}

fn ticket_table(tickets: &[Ticket], roster: &Roster, now: Timestamp) -> Table {
    let mut rows = table(&[
        "Ticket",
        "Contact",
        "Subject",
        "Channel",
        "Status",
        "Due",
        "Owner, and why",
    ]);
    for ticket in tickets {
        let channels: Vec<String> = ticket
            .channels
            .iter()
            .map(|channel| words::channel(*channel))
            .collect();
        let owner = match ticket.assignee_id.as_str() {
            "" => "nobody yet".to_owned(),
            id => words::short(roster.agent_name(id), 20),
        };
        let why = if ticket.assign_reason.is_empty() {
            String::new()
        } else {
            format!(": {}", ticket.assign_reason)
        };
        rows.add_row([
            format!("#{}", ticket.number),
            words::short(&ticket.contact_name, 16),
            words::short(&ticket.subject, 30),
            channels.join(", "),
            words::spoken(&words::status(ticket.status)),
            words::due(
                now,
                words::time(ticket.next_due_time.as_ref()),
                ticket.breached,
            ),
            wrapped(
                &words::short(&format!("{owner}{why}"), 3 * OWNER_WIDTH),
                OWNER_WIDTH,
            ),
        ]);
    }
    rows
}

/// Lines of at most `width` characters, broken between words.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn render_answer(answer: &Answer) -> String {
    let mut text = format!(
        "\nAnswer to #{} by {}: ",
        answer.ticket_number, answer.channel
    );
    if answer.arrived {
        let _ = writeln!(
            text,
            "arrived for {} after {} ms, {}",
            words::short(&answer.to, 60),
            answer.milliseconds,
            answer.delivery_state
        );
    } else {
        let state = if answer.delivery_state.is_empty() {
            "no state"
        } else {
            &answer.delivery_state
        };
        let _ = writeln!(
            text,
            "did not arrive ({state}) {}",
            words::short(&answer.delivery_error, 100)
        );
    }
    for (name, value) in &answer.headers {
        let _ = writeln!(
            text,
            "  {:<13}{}",
            format!("{name}:"),
            words::short(value, 110)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use solmu_proto::routing::v1::Agent;

    use super::*;
    use crate::output::flat;

    #[test]
    fn the_page_reads_well() {
        let agent = Agent {
            id: "a".to_owned(),
            display_name: "Liisa Demo".to_owned(),
            ..Agent::default()
        };
        let roster = Roster {
            agents: vec![agent],
            teams: Vec::new(),
        };
        let ticket = Ticket {
            number: 1001,
            subject: "Tilaus 48213".to_owned(),
            contact_name: "Aino Mäkelä".to_owned(),
            channels: vec![1],
            status: 2,
            assignee_id: "a".to_owned(),
            assign_reason: "least loaded of 2 in Support".to_owned(),
            message_count: 1,
            next_due_time: Some(prost_types::Timestamp {
                seconds: 3_600,
                nanos: 0,
            }),
            ..Ticket::default()
        };
        let answer = Answer {
            ticket_number: 1001,
            channel: "email".to_owned(),
            arrived: true,
            to: "aino@customers.example".to_owned(),
            headers: vec![("Subject".to_owned(), "Re: Tilaus 48213".to_owned())],
            delivery_state: "sent".to_owned(),
            milliseconds: 12,
            ..Answer::default()
        };
        let report = Report {
            run: "r".to_owned(),
            sent: Sent {
                email: 2,
                repeated: 1,
                ..Sent::default()
            },
            filed: 1,
            duplicates_dropped: 1,
            seconds: 0.25,
            tickets: vec![TicketView::from(&ticket)],
            quarantined: Vec::new(),
            answers: vec![answer],
            checks: vec![
                Check::count("tickets opened", 1, 1),
                Check::count("owned tickets", 1, 0),
            ],
        };
        let intake = report.render_intake(&[ticket], &roster, Timestamp::UNIX_EPOCH);
        let text = flat(&format!("{intake}\n{}", report.render_answers()));
        for part in [
            "#1001 Aino Mäkelä Tilaus 48213 email open in 1 h Liisa Demo: least loaded of 2 in Support",
            "2 messages sent, 1 filed on 1 tickets, 1 dropped as duplicates, 0 in the quarantine, in 0.2 s",
            "Answer to #1001 by email: arrived for aino@customers.example after 12 ms, sent\nSubject: Re: Tilaus 48213",
            "ok tickets opened\nFAIL owned tickets (0, not 1)",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
        assert_eq!(report.failed(), ["owned tickets"]);
        assert_eq!(wrapped("one two three  four", 9), "one two\nthree\nfour");
    }
}
