//! `solmu ticket show`: all that is known of one ticket.

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::{SignedDuration, Timestamp};
use solmu_client::Client;
use solmu_domain::clock::Clock;
use solmu_proto::{
    contact::v1::{Contact, GetContactRequest},
    routing::v1::{Decision, ExplainRoutingRequest},
    sla::v1::{Clock as SlaClock, ExplainTicketRequest},
    ticket::v1::{ListMessagesRequest, Message, Ticket, TicketLink},
    types::v1::{Actor, AutomaticClass, DeliveryState, actor::Kind},
};

use super::list::{channels, owner};
use crate::{
    connect::Session,
    roster::Roster,
    views::{
        ClockView, ContactView, DecisionView, LinkView, MessageView, TicketDetailView, TicketView,
        undeliverable,
    },
    words,
};

pub(super) async fn run(session: &Session, meant: &str, clock: &dyn Clock) -> anyhow::Result<()> {
    let client = session.client()?;
    let ticket = super::fetch(session, &client, meant).await?;
    let messages = messages_of(session, &client, &ticket.id).await?;
    let contact = match contact_of(&client, &ticket.contact_id).await {
        Ok(contact) => Some(contact),
        Err(status) => {
            session.out.progress(format!(
                "The contact is not known: {:#}",
                session.explain(status)
            ));
            None
        }
    };
    // Router and SLA service may run elsewhere or be down: the ticket is shown all the same, with a remark.
    let (decisions, waiting_reason) = match decisions_of(&client, &ticket.id).await {
        Ok(explained) => explained,
        Err(status) => {
            session.out.progress(format!(
                "The router cannot explain: {:#}",
                session.explain(status)
            ));
            (Vec::new(), String::new())
        }
    };
    let clocks = match clocks_of(&client, &ticket.id).await {
        Ok(clocks) => clocks,
        Err(status) => {
            session.out.progress(format!(
                "The clocks are not known: {:#}",
                session.explain(status)
            ));
            Vec::new()
        }
    };
    if session.out.is_json() {
        return session.out.object(&TicketDetailView {
            ticket: TicketView::from(&ticket),
            links: ticket.links.iter().map(LinkView::from).collect(),
            contact: contact.as_ref().map(ContactView::from),
            messages: messages.iter().map(MessageView::from).collect(),
            decisions: decisions.iter().map(DecisionView::from).collect(),
            clocks: clocks.iter().map(ClockView::from).collect(),
            waiting_reason,
        });
    }
    let mut ticket = ticket;
    // What the last decision said is of the time at which it was made.
    if !waiting_reason.is_empty() {
        ticket.assign_reason = waiting_reason;
    }
    let roster = Roster::fetch_or_empty(session, &client).await;
    session.out.line(
        Page {
            ticket,
            contact,
            messages,
            decisions,
            clocks,
            roster,
            now: clock.now(),
        }
        .render(),
    )
}

/// All messages of a ticket, oldest first.
pub(crate) async fn messages_of(
    session: &Session,
    client: &Client,
    ticket_id: &str,
) -> anyhow::Result<Vec<Message>> {
    let mut messages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListMessagesRequest {
            ticket_id: ticket_id.to_owned(),
            page_size: 500,
            page_token,
        };
        let page = client
            .tickets()
            .list_messages(request)
            .await
            .map_err(|status| session.explain(status))?
            .into_inner();
        messages.extend(page.messages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(messages);
        }
    }
}

async fn contact_of(client: &Client, contact_id: &str) -> Result<Contact, tonic::Status> {
    let request = GetContactRequest {
        id: contact_id.to_owned(),
    };
    Ok(client.contacts().get_contact(request).await?.into_inner())
}

/// What was decided, and why it waits now if it does.
async fn decisions_of(
    client: &Client,
    ticket_id: &str,
) -> Result<(Vec<Decision>, String), tonic::Status> {
    let request = ExplainRoutingRequest {
        ticket_id: ticket_id.to_owned(),
    };
    let explained = client.routing().explain_routing(request).await?;
    let explained = explained.into_inner();
    Ok((explained.decisions, explained.waiting_reason))
}

async fn clocks_of(client: &Client, ticket_id: &str) -> Result<Vec<SlaClock>, tonic::Status> {
    let request = ExplainTicketRequest {
        ticket_id: ticket_id.to_owned(),
    };
    Ok(client
        .sla()
        .explain_ticket(request)
        .await?
        .into_inner()
        .clocks)
}

/// The page for people.
struct Page {
    ticket: Ticket,
    contact: Option<Contact>,
    messages: Vec<Message>,
    decisions: Vec<Decision>,
    clocks: Vec<SlaClock>,
    roster: Roster,
    now: Timestamp,
}

impl Page {
    fn render(&self) -> String {
        let mut page = self.head();
        page.push_str(&self.clocks());
        page.push_str(&self.decisions());
        page.push_str("\nMessages\n");
        for message in &self.messages {
            page.push_str(&self.message(message));
        }
        page.truncate(page.trim_end().len());
        page
    }

    fn head(&self) -> String {
        let ticket = &self.ticket;
        let mut head = format!(
            "#{}  {}\n",
            ticket.number,
            words::short(&ticket.subject, 120)
        );
        let mut field = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(head, "  {name:<10}{value}");
        };
        field("status", &words::spoken(&words::status(ticket.status)));
        field("priority", &words::priority(ticket.priority));
        field("contact", &words::short(&ticket.contact_name, 80));
        for remark in self
            .contact
            .iter()
            .flat_map(|it| undeliverable(it, self.now))
        {
            field("", &remark);
        }
        field("channels", &channels(ticket));
        field("owner", &owner(ticket, &self.roster));
        if !ticket.assign_reason.is_empty() {
            field("because", &words::short(&ticket.assign_reason, 120));
        }
        field(
            "due",
            &words::due(
                self.now,
                words::time(ticket.next_due_time.as_ref()),
                ticket.breached,
            ),
        );
        if ticket.restricted {
            let named = [
                (ticket.restricted_agent_ids.len(), "agent"),
                (ticket.restricted_team_ids.len(), "team"),
            ];
            let named = named.iter().filter(|(count, _)| *count > 0);
            let named: Vec<String> = named
                .map(|(count, what)| {
                    format!("{count} {what}{}", if *count == 1 { "" } else { "s" })
                })
                .collect();
            field(
                "seen by",
                &format!("only those named: {}", named.join(", ")),
            );
        }
        if !ticket.tags.is_empty() {
            field("tags", &words::short(&ticket.tags.join(", "), 80));
        }
        if let Some(at) = words::time(ticket.create_time.as_ref()) {
            field(
                "opened",
                &format!("{} ({})", words::moment(at), words::relative(self.now, at)),
            );
        }
        if !ticket.previous_ticket_id.is_empty() {
            field("follows", &ticket.previous_ticket_id);
        }
        if !ticket.links.is_empty() {
            field("links", &links(&ticket.links));
        }
        field("id", &ticket.id);
        head
    }

    fn clocks(&self) -> String {
        if self.clocks.is_empty() {
            return String::new();
        }
        let mut text = "\nClocks\n".to_owned();
        for clock in &self.clocks {
            let name = words::spoken(&words::metric(clock.metric));
            let used = words::length(SignedDuration::from_secs(clock.elapsed_seconds));
            let due = words::due(
                self.now,
                words::time(clock.due_time.as_ref()),
                clock.breached,
            );
            // A clock that ended has no due time to run towards.
            let due = if matches!(clock.state.as_str(), "met" | "void") {
                String::new()
            } else {
                format!(", due {due}")
            };
            let _ = writeln!(text, "  {name:<16}{}, {used} used{due}", clock.state);
        }
        text
    }

    fn decisions(&self) -> String {
        if self.decisions.is_empty() {
            return String::new();
        }
        let mut text = "\nRouting\n".to_owned();
        for decision in &self.decisions {
            let when = words::time(decision.decide_time.as_ref())
                .map(|at| words::relative(self.now, at))
                .unwrap_or_default();
            let team = self.roster.team_name(&decision.team_id);
            let agent = self.roster.agent_name(&decision.agent_id);
            let to = if agent.is_empty() {
                format!("the queue of {team}")
            } else {
                format!("{agent} of {team}")
            };
            let reason = words::short(&decision.reason, 120);
            let _ = writeln!(
                text,
                "  {when}: {} to {}: {reason}",
                decision.outcome,
                words::short(&to, 60)
            );
        }
        text
    }

    fn message(&self, message: &Message) -> String {
        let mut remarks = Vec::new();
        let kind = message
            .author
            .as_ref()
            .map_or(Kind::Unspecified, Actor::kind);
        if !message.public {
            remarks.push("note".to_owned());
        }
        if kind == Kind::Customer && !message.sender_verified {
            remarks.push("sender not verified".to_owned());
        }
        let automatic = message.automatic_class();
        if !matches!(
            automatic,
            AutomaticClass::Unspecified | AutomaticClass::Human
        ) {
            remarks.push(words::spoken(&words::automatic(automatic.into())));
        }
        if message.delivery_state() != DeliveryState::Unspecified {
            remarks.push(words::delivery(message.delivery_state));
        }
        if !message.delivery_error.is_empty() {
            remarks.push(words::short(&message.delivery_error, 100));
        }
        let when = words::time(message.create_time.as_ref())
            .map(|at| words::relative(self.now, at))
            .unwrap_or_default();
        let name = if message.author_name.is_empty() {
            words::actor(kind.into())
        } else {
            words::short(&message.author_name, 40)
        };
        let remarks = if remarks.is_empty() {
            String::new()
        } else {
            format!(" ({})", remarks.join(", "))
        };
        let mut text = format!(
            "{:>3}  {name}, {}, {when}{remarks}\n",
            message.sequence,
            words::channel(message.channel)
        );
        for line in words::clean(&message.text).trim().lines() {
            let _ = writeln!(text, "{}", format!("       {line}").trim_end());
        }
        for file in &message.attachments {
            let _ = writeln!(
                text,
                "       [{}, {} bytes]",
                words::short(&file.filename, 60),
                file.size_bytes
            );
        }
        text.push('\n');
        text
    }
}

/// "mentions #1001, #1002; same thread #1003".
fn links(links: &[TicketLink]) -> String {
    let mut by_kind: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for link in links {
        let numbers = by_kind.entry(link.kind).or_default();
        numbers.push(format!("#{}", link.ticket_number));
    }
    let kinds = by_kind.iter().map(|(kind, numbers)| {
        let kind = words::spoken(&words::link(*kind));
        format!("{kind} {}", numbers.join(", "))
    });
    kinds.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use solmu_proto::types::v1::Identity;

    use super::*;

    #[test]
    fn a_page_tells_the_whole_story() {
        let now = Timestamp::from_second(1_000).unwrap();
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let customer = Message {
            sequence: 1,
            channel: 1,
            author: Some(Actor {
                kind: Kind::Customer.into(),
                id: "c".to_owned(),
            }),
            author_name: "Aino".to_owned(),
            public: true,
            text: "Hei,\r\n\nmissä \u{1b}tilaus?\n".to_owned(),
            create_time: at(940),
            automatic_class: AutomaticClass::Human.into(),
            ..Message::default()
        };
        let answer = Message {
            sequence: 2,
            channel: 1,
            author: Some(Actor {
                kind: Kind::Agent.into(),
                id: "a".to_owned(),
            }),
            public: true,
            text: "Matkalla".to_owned(),
            delivery_state: DeliveryState::Sent.into(),
            create_time: at(990),
            ..Message::default()
        };
        let decision = Decision {
            reason: "least loaded of 2".to_owned(),
            outcome: "applied".to_owned(),
            decide_time: at(950),
            ..Decision::default()
        };
        let clock = SlaClock {
            metric: 1,
            state: "met".to_owned(),
            elapsed_seconds: 50,
            ..SlaClock::default()
        };
        let ticket = Ticket {
            id: "t".to_owned(),
            number: 7,
            subject: "Tilaus".to_owned(),
            status: 3,
            priority: 2,
            ..Ticket::default()
        };
        let page = Page {
            ticket,
            contact: None,
            messages: vec![customer, answer],
            decisions: vec![decision],
            clocks: vec![clock],
            roster: Roster::default(),
            now,
        };
        let text = page.render();
        for part in [
            "#7  Tilaus\n  status    waiting on customer\n",
            "\nClocks\n  first response  met, 50 s used\n",
            "  50 s ago: applied to the queue of: least loaded of 2\n",
            "  1  Aino, email, 1 min ago (sender not verified)\n       Hei,\n\n       missä tilaus?\n",
            "  2  agent, email, 10 s ago (sent)\n       Matkalla",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
    }

    #[test]
    fn the_head_warns_of_an_address_and_names_what_is_linked() {
        let link = |(ticket_number, kind)| TicketLink {
            ticket_number,
            kind,
            ..TicketLink::default()
        };
        let identity = Identity {
            value: "aino@c.example".to_owned(),
            undeliverable_time: Some(prost_types::Timestamp {
                seconds: 940,
                nanos: 0,
            }),
            undeliverable_cause: "5.1.1".to_owned(),
            ..Identity::default()
        };
        let page = Page {
            ticket: Ticket {
                contact_name: "Aino".to_owned(),
                links: [(9, 3), (8, 1), (4, 1)].map(link).to_vec(),
                ..Ticket::default()
            },
            contact: Some(Contact {
                identities: vec![identity],
                ..Contact::default()
            }),
            messages: Vec::new(),
            decisions: Vec::new(),
            clocks: Vec::new(),
            roster: Roster::default(),
            now: Timestamp::from_second(1_000).unwrap(),
        };
        let text = page.render();
        for part in [
            "  contact   Aino\n            mail to aino@c.example comes back, last 1 min ago: 5.1.1\n",
            "  links     mentions #8, #4; same thread #9\n",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
    }
}
