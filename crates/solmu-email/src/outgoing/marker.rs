//! A signed mark in the body, for answers whose headers were lost on the way.
//!
//! Some gateways rewrite addresses and Message-IDs. What they leave is the quoted text, so an account may let each mail
//! end with `[ref:t.<ticket>.<kid>.<mac>]`. It is worth what a signed reply address is worth: whoever got the mail can
//! show it, and the ticket service still asks whether the sender takes part.

use solmu_domain::{
    ids::TicketId,
    signed::{Signer, uuid_from_base32, uuid_to_base32},
};

const PURPOSE: &str = "email-body-marker";
const BEGIN: &str = "[ref:t.";
/// Characters between beginning and bracket at most: ticket, dot, key id, dot, MAC, and room for a line break.
const INNER_MAX: usize = 60;
/// Marks of one text that are looked at: an answer to a long thread quotes many, and each costs a signature.
const MARKS_MAX: usize = 20;
/// Characters of a UUID in base32.
const ID_LENGTH: usize = 26;

/// The mark of a ticket.
#[must_use]
pub fn mark(ticket: TicketId, signer: &Signer) -> String {
    let token = signer.sign(PURPOSE, ticket.as_uuid().as_bytes());
    format!("{BEGIN}{}.{token}]", uuid_to_base32(ticket.as_uuid()))
}

/// The mark at the end of a text.
pub(super) fn append_text(text: &mut String, mark: &str) {
    let end = text.trim_end().len();
    text.truncate(end);
    text.push_str("\r\n\r\n");
    text.push_str(mark);
    text.push_str("\r\n");
}

/// The mark in HTML, where nobody sees it. Clients that drop styles show one short line.
pub(super) fn append_html(html: &mut String, mark: &str) {
    let hidden = format!(
        "<div style=\"display:none;font-size:1px;line-height:1px;max-height:0;overflow:hidden\">{mark}</div>"
    );
    let end = html
        .to_ascii_lowercase()
        .rfind("</body>")
        .unwrap_or(html.len());
    html.insert_str(end, &hidden);
}

/// Tickets whose mark is in the text and holds, in the order in which they stand there.
#[must_use]
pub fn tickets_in(text: &str, signer: &Signer) -> Vec<TicketId> {
    let mut tickets = Vec::new();
    let mut rest = text;
    for _ in 0..MARKS_MAX {
        let Some(at) = rest.find(BEGIN) else { break };
        rest = &rest[at + BEGIN.len()..];
        let Some(end) = rest.bytes().take(INNER_MAX).position(|byte| byte == b']') else {
            continue;
        };
        if let Some(ticket) = ticket_of(&rest[..end], signer)
            && !tickets.contains(&ticket)
        {
            tickets.push(ticket);
        }
    }
    tickets
}

fn ticket_of(inner: &str, signer: &Signer) -> Option<TicketId> {
    let inner: String = inner.chars().filter(|c| !c.is_whitespace()).collect();
    let (id, token) = inner.split_once('.')?;
    if id.len() != ID_LENGTH {
        return None;
    }
    let ticket = uuid_from_base32(id)?;
    signer
        .verify(PURPOSE, ticket.as_bytes(), token)
        .then_some(TicketId::from_uuid(ticket))
}
