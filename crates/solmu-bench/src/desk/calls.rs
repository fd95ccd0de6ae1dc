//! What agents ask for all day.

use jiff::{ToSpan as _, tz::TimeZone};
use solmu_client::Client;
use solmu_proto::{
    contact::v1::{GetContactRequest, ListEncountersRequest},
    ticket::v1::{
        AddNoteRequest, BulkUpdateRequest, CreateViewRequest, GetTicketRequest,
        ListMessagesRequest, ListTicketsRequest, ListViewsRequest, SavedView, SearchTicketsRequest,
        Ticket, UpdateTicketRequest,
    },
    types::v1::Priority,
};
use tonic::Status;

use super::{
    language::{self, Language},
    load::first_message,
    world::{AGENTS, TEAMS, World},
};
use crate::random::Random;

/// Tickets of one bulk change.
const BULK: usize = 1_000;
/// Of the newest in a hundred: what most calls are about.
const NEWEST: usize = 3;
/// Filters of the views that are counted.
const VIEWS: [(&str, &str); 5] = [
    ("Open", "open = true"),
    ("Urgent", "open = true AND priority = urgent"),
    ("Overdue", "open = true AND due < +0h"),
    (
        "Complaints of this month",
        "category = complaint AND created >= -30d",
    ),
    ("VIP, open", "open = true AND tags:vip"),
];

/// One kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `GetTicket`, then `ListMessages`.
    Open,
    Get,
    Messages,
    Queue,
    Mine,
    Filtered,
    OfCustomer,
    Category,
    SearchCommon,
    SearchUsual,
    SearchRare,
    SearchNumber,
    SearchTwo,
    SearchPhrase,
    SearchFiltered,
    Contact,
    Timeline,
    Counts,
    Note,
    Change,
    Bulk,
}

/// Calls that are measured one by one, with how often of the number asked for in a thousand.
pub(super) const MEASURED: [(Kind, u32); 21] = [
    (Kind::Open, 1_000),
    (Kind::Get, 1_000),
    (Kind::Messages, 1_000),
    (Kind::Queue, 1_000),
    (Kind::Mine, 1_000),
    (Kind::Filtered, 1_000),
    (Kind::OfCustomer, 1_000),
    (Kind::Category, 1_000),
    (Kind::SearchCommon, 1_000),
    (Kind::SearchUsual, 1_000),
    (Kind::SearchRare, 1_000),
    (Kind::SearchNumber, 1_000),
    (Kind::SearchTwo, 1_000),
    (Kind::SearchPhrase, 1_000),
    (Kind::SearchFiltered, 1_000),
    (Kind::Contact, 1_000),
    (Kind::Timeline, 1_000),
    (Kind::Counts, 300),
    (Kind::Note, 300),
    (Kind::Change, 300),
    (Kind::Bulk, 30),
];

/// Reads of a mixed load, with their weights.
const READS: [(Kind, usize); 9] = [
    (Kind::Get, 30),
    (Kind::Messages, 25),
    (Kind::Queue, 10),
    (Kind::Mine, 6),
    (Kind::Filtered, 3),
    (Kind::SearchUsual, 4),
    (Kind::SearchCommon, 1),
    (Kind::Contact, 9),
    (Kind::Timeline, 7),
];

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open a ticket (two calls)",
            Self::Get => "ticket",
            Self::Messages => "messages of a ticket",
            Self::Queue => "queue of a team, first page",
            Self::Mine => "tickets of an agent",
            Self::Filtered => "filtered list",
            Self::OfCustomer => "complaints of a customer, a month",
            Self::Category => "a category, newest, closed ones too",
            Self::SearchCommon => "search: common word",
            Self::SearchUsual => "search: usual word",
            Self::SearchRare => "search: rare word",
            Self::SearchNumber => "search: order number",
            Self::SearchTwo => "search: two words",
            Self::SearchPhrase => "search: phrase",
            Self::SearchFiltered => "search: word and filter",
            Self::Contact => "contact",
            Self::Timeline => "timeline of a contact",
            Self::Counts => "counts of five views",
            Self::Note => "note (write)",
            Self::Change => "change of a ticket (write)",
            Self::Bulk => "bulk change of 1,000 (write)",
        }
    }

    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Note | Self::Change | Self::Bulk)
    }

    /// A kind of a mixed load in which so many of a hundred calls write.
    pub(super) fn mixed(random: &mut Random, writes: usize) -> Self {
        if random.below(100) < writes {
            return *random.pick(&[Self::Note, Self::Change]);
        }
        let mut left = random.below(READS.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in READS {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        Self::Get
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
    pub(super) world: World,
}

impl Caller {
    /// Makes the views that are counted; a second time they are there.
    pub(super) async fn prepare(&self) -> Result<(), Status> {
        for (number, (name, filter)) in VIEWS.into_iter().enumerate() {
            let view = SavedView {
                display_name: name.to_owned(),
                filter: filter.to_owned(),
                ..SavedView::default()
            };
            let request = CreateViewRequest {
                view: Some(view),
                request_id: format!("bench-desk-{number}"),
            };
            self.client.search().create_view(request).await?;
        }
        Ok(())
    }

    /// One call; says how many things it found.
    pub(super) async fn call(&self, kind: Kind, random: &mut Random) -> Result<usize, Status> {
        match kind {
            Kind::Open => {
                let number = self.ticket(random);
                self.get(number).await?;
                self.messages(number).await
            }
            Kind::Get => self.get(self.ticket(random)).await,
            Kind::Messages => self.messages(self.ticket(random)).await,
            Kind::Queue | Kind::Mine | Kind::Filtered | Kind::OfCustomer | Kind::Category => {
                let (filter, order_by) = self.filter(kind, random);
                let request = ListTicketsRequest {
                    filter,
                    order_by: order_by.to_owned(),
                    ..ListTicketsRequest::default()
                };
                let answer = self.client.tickets().list_tickets(request).await?;
                Ok(answer.into_inner().tickets.len())
            }
            Kind::Contact | Kind::Timeline => self.contact(kind, random).await,
            Kind::Counts => {
                let request = ListViewsRequest {
                    with_counts: true,
                    ..ListViewsRequest::default()
                };
                let answer = self.client.search().list_views(request).await?.into_inner();
                let counted = answer.views.iter().filter_map(|view| view.count.as_ref());
                Ok(counted.filter(|count| !count.unknown).count())
            }
            Kind::Note => {
                let request = AddNoteRequest {
                    ticket_id: self.world.ticket_id(self.ticket(random)).to_string(),
                    text: format!(
                        "Checked with the warehouse, case {}.",
                        random.below(100_000)
                    ),
                    ..AddNoteRequest::default()
                };
                self.client.tickets().add_note(request).await?;
                Ok(1)
            }
            Kind::Change => {
                let ticket = Ticket {
                    id: self.world.ticket_id(self.ticket(random)).to_string(),
                    priority: priority(random),
                    tags: vec![format!("batch-{}", random.below(1_000))],
                    ..Ticket::default()
                };
                let request = UpdateTicketRequest {
                    ticket: Some(ticket),
                    ..UpdateTicketRequest::default()
                };
                self.client.tickets().update_ticket(request).await?;
                Ok(1)
            }
            Kind::Bulk => self.bulk(random).await,
            searched => self.search(searched, random).await,
        }
    }

    /// A ticket that somebody works on: mostly a new one.
    fn ticket(&self, random: &mut Random) -> usize {
        let all = self.world.size.tickets;
        if random.below(10) < 7 {
            all - 1 - random.below((all * NEWEST / 100).max(1))
        } else {
            random.below(all)
        }
    }

    async fn get(&self, number: usize) -> Result<usize, Status> {
        let id = self.world.ticket_id(number).to_string();
        let request = GetTicketRequest { id };
        self.client.tickets().get_ticket(request).await?;
        Ok(1)
    }

    async fn messages(&self, number: usize) -> Result<usize, Status> {
        let request = ListMessagesRequest {
            ticket_id: self.world.ticket_id(number).to_string(),
            ..ListMessagesRequest::default()
        };
        let answer = self.client.tickets().list_messages(request).await?;
        Ok(answer.into_inner().messages.len())
    }

    /// A filter and an order.
    fn filter(&self, kind: Kind, random: &mut Random) -> (String, &'static str) {
        match kind {
            Kind::Queue => {
                let team = self.world.team_id(random.below(TEAMS));
                (format!("open = true AND team = {team}"), "")
            }
            Kind::Mine => {
                let agent = self.world.agent_id(random.below(AGENTS));
                (format!("open = true AND assignee = {agent}"), "")
            }
            Kind::Filtered => {
                let priority = random.pick(&["high", "urgent"]);
                let filter = format!(
                    "open = true AND created >= -60d AND priority = {priority} AND (tags:vip OR category = complaint)"
                );
                (filter, "")
            }
            Kind::OfCustomer => {
                let ticket = self.world.ticket(self.ticket(random));
                let contact = self.world.contact(ticket.contact).address;
                let day = ticket.opened.to_zoned(TimeZone::UTC).date();
                let filter = format!(
                    "requester_email = \"{contact}\" AND created = {:04}-{:02}",
                    day.year(),
                    day.month()
                );
                (filter, "create_time desc")
            }
            _ => {
                let category = random.pick(&["billing/refund", "complaint", "delivery/late"]);
                let back = i64::try_from(random.below(300)).unwrap_or(0);
                let day = self.world.now.to_zoned(TimeZone::UTC).date();
                let before = day.saturating_sub(back.days());
                let filter = format!("category = \"{category}\" AND created < {before}");
                (filter, "create_time desc")
            }
        }
    }

    async fn contact(&self, kind: Kind, random: &mut Random) -> Result<usize, Status> {
        let ticket = self.world.ticket(self.ticket(random));
        let id = self.world.contact_id(ticket.contact).to_string();
        if kind == Kind::Contact {
            let request = GetContactRequest { id };
            self.client.contacts().get_contact(request).await?;
            return Ok(1);
        }
        let request = ListEncountersRequest {
            contact_id: id,
            ..ListEncountersRequest::default()
        };
        let answer = self.client.contacts().list_encounters(request).await?;
        Ok(answer.into_inner().encounters.len())
    }

    async fn bulk(&self, random: &mut Random) -> Result<usize, Status> {
        let count = BULK.min(self.world.size.tickets);
        let first = random.below(self.world.size.tickets - count + 1);
        let ids = (first..first + count).map(|number| self.world.ticket_id(number).to_string());
        let request = BulkUpdateRequest {
            ticket_ids: ids.collect(),
            ticket: Some(Ticket {
                priority: priority(random),
                ..Ticket::default()
            }),
            ..BulkUpdateRequest::default()
        };
        let answer = self.client.desk().bulk_update(request).await?.into_inner();
        usize::try_from(answer.succeeded)
            .ok()
            .filter(|succeeded| *succeeded == count)
            .ok_or_else(|| Status::internal("not every ticket of a bulk change was changed"))
    }

    async fn search(&self, kind: Kind, random: &mut Random) -> Result<usize, Status> {
        let language = *random.pick(&Language::ALL);
        let filter = if kind == Kind::SearchFiltered {
            "open = true AND priority = urgent"
        } else {
            ""
        };
        let request = SearchTicketsRequest {
            query: self.query(kind, language, random),
            filter: filter.to_owned(),
            ..SearchTicketsRequest::default()
        };
        let answer = self.client.search().search_tickets(request).await?;
        Ok(answer.into_inner().hits.len())
    }

    fn query(&self, kind: Kind, language: Language, random: &mut Random) -> String {
        let (_, words, order_number) =
            first_message(&self.world, random.below(self.world.size.tickets));
        match kind {
            Kind::SearchCommon => language::word(language, random.below(20)),
            Kind::SearchRare => language::word(language, 10_000 + random.below(40_000)),
            Kind::SearchNumber => format!("ORD-{order_number}"),
            Kind::SearchTwo => format!("{} {}", words[0], words[2]),
            Kind::SearchPhrase => format!("\"{} {}\"", words[0], words[1]),
            _ => language::word(language, 100 + random.below(3_000)),
        }
    }
}

fn priority(random: &mut Random) -> i32 {
    let priority = random.pick(&[Priority::Low, Priority::Normal, Priority::High]);
    i32::from(*priority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_load_has_the_share_of_writes_that_was_asked_for() {
        let mut random = Random::new(5);
        let kinds: Vec<Kind> = (0..20_000).map(|_| Kind::mixed(&mut random, 5)).collect();
        let writes = kinds.iter().filter(|kind| kind.writes()).count();
        assert!((800..1_200).contains(&writes), "{writes}");
        for (kind, _) in READS {
            assert!(kinds.contains(&kind), "{}", kind.name());
        }
    }
}
