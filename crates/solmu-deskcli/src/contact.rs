//! `solmu contact`.

mod work;

use std::io::{Read as _, Write as _};

use anyhow::Context as _;
use clap::Subcommand;
use comfy_table::Table;
use jiff::Timestamp;
use solmu_domain::clock::Clock;
use solmu_identity::{Limits, Region, record};
use solmu_proto::contact::v1::{Contact, GetContactRequest, ListContactsRequest};

pub(crate) use work::WorkCommand;

use solmu_cli::parts::{ContactView, Session, table, undeliverable, words};

/// Contacts: the people who write.
#[derive(Debug, Subcommand)]
pub enum ContactCommand {
    /// Contacts, newest first
    List {
        /// Only those for which this holds, e.g. 'identity = "aino@example.com"'
        #[arg(long, default_value = "")]
        filter: String,
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One contact with all names that it is known by
    Show {
        /// Its id
        id: String,
    },
    /// Measure who is one person: events from standard input, one JSON object a line, and whom each belongs to
    Eval {
        /// How numbers without a country code are read
        #[arg(long, default_value = "FI", value_name = "COUNTRY")]
        region: Region,
    },
    /// Work on contacts.
    #[command(flatten)]
    Work(WorkCommand),
}

pub(crate) async fn run(
    session: &Session,
    command: ContactCommand,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    match command {
        ContactCommand::Eval { region } => eval(region),
        ContactCommand::Work(command) => work::run(session, command, clock).await,
        ContactCommand::List { filter, limit } => {
            let mut service = session.client()?.contacts();
            let mut contacts = Vec::new();
            let mut page_token = String::new();
            while contacts.len() < limit {
                let page_size = i32::try_from((limit - contacts.len()).min(500)).unwrap_or(500);
                let request = ListContactsRequest {
                    page_size,
                    page_token,
                    filter: filter.clone(),
                };
                let page = service
                    .list_contacts(request)
                    .await
                    .map_err(|status| session.explain(status))?
                    .into_inner();
                contacts.extend(page.contacts);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            contacts.truncate(limit);
            let views: Vec<ContactView> = contacts.iter().map(ContactView::from).collect();
            session.out.rows(
                &views,
                &render(&contacts, clock.now()),
                "There is no such contact.",
            )
        }
        ContactCommand::Show { id } => {
            let mut service = session.client()?.contacts();
            let request = GetContactRequest { id };
            let contact = service
                .get_contact(request)
                .await
                .map_err(|status| session.explain(status))?
                .into_inner();
            session.out.object(&ContactView::from(&contact))?;
            session.out.line(card(&contact, clock.now()))
        }
    }
}

/// Prints the answer of the resolver for each event of standard input.
fn eval(region: Region) -> anyhow::Result<()> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("standard input cannot be read as text")?;
    let events = record::read(&text)?;
    let limits = Limits {
        region,
        ..Limits::default()
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for answer in record::answers(&events, &limits) {
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

fn render(contacts: &[Contact], now: Timestamp) -> Table {
    let mut rows = table(&["Contact", "Known by", "Tickets", "First seen", "Id"]);
    for contact in contacts {
        let known: Vec<&str> = contact
            .identities
            .iter()
            .map(|identity| identity.value.as_str())
            .collect();
        rows.add_row([
            words::short(&contact.display_name, 30),
            words::short(&known.join(", "), 50),
            contact.ticket_count.to_string(),
            words::time(contact.create_time.as_ref())
                .map_or_else(|| "-".to_owned(), |at| words::relative(now, at)),
            contact.id.clone(),
        ]);
    }
    rows
}

/// One contact with its identities, each with its evidence.
fn card(contact: &Contact, now: Timestamp) -> String {
    let seen = words::time(contact.create_time.as_ref())
        .map_or_else(|| "-".to_owned(), |at| words::relative(now, at));
    let mut rows = table(&["Kind", "Value", "Assurance", "Attested by"]);
    for identity in &contact.identities {
        rows.add_row([
            words::spoken(&words::identity(identity.kind)),
            words::short(&identity.value, 60),
            words::assurance(identity.assurance),
            words::short(&identity.attested_by, 30),
        ]);
    }
    let mut remarks = undeliverable(contact, now).join("\n  remark      ");
    if !remarks.is_empty() {
        remarks = format!("\n  remark      {remarks}");
    }
    format!(
        "{}\n  id          {}\n  first seen  {seen}\n  tickets     {}{remarks}\n\n{}",
        words::short(&contact.display_name, 80),
        contact.id,
        contact.ticket_count,
        rows.trim_fmt()
    )
}

#[cfg(test)]
mod tests {
    use solmu_proto::types::v1::Identity;

    use super::*;
    use crate::flat;

    #[test]
    fn a_card_shows_the_evidence() {
        let identity = Identity {
            kind: 2,
            value: "+358401234567".to_owned(),
            assurance: 3,
            attested_by: "whatsapp".to_owned(),
            ..Identity::default()
        };
        let contact = Contact {
            id: "c".to_owned(),
            display_name: "Aino".to_owned(),
            identities: vec![identity],
            ..Contact::default()
        };
        let text = flat(&card(&contact, Timestamp::UNIX_EPOCH));
        assert!(
            text.contains("phone +358401234567 proven whatsapp"),
            "{text}"
        );
        assert!(!text.contains("remark"), "{text}");
        let mut marked = contact.clone();
        marked.identities[0].undeliverable_time = Some(prost_types::Timestamp {
            seconds: -60,
            nanos: 0,
        });
        marked.identities[0].undeliverable_cause = "5.1.1: no such\u{1b} user".to_owned();
        let text = flat(&card(&marked, Timestamp::UNIX_EPOCH));
        let remark = "remark mail to +358401234567 comes back, last 1 min ago: 5.1.1: no such user";
        assert!(text.contains(remark), "{text}");
        let list = flat(&render(&[contact], Timestamp::UNIX_EPOCH).trim_fmt());
        assert!(list.contains("Aino +358401234567"), "{list}");
    }
}
