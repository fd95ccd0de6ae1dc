//! The same steps on the ticket service and on the model, and what differs after each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use jiff::{SignedDuration, Timestamp};
use prost_types::FieldMask;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::{clock::Clock as _, ticket::Status};
use solmu_proto::{
    inbound::v1::{MessageReceived, Sender},
    ticket::v1::{
        AddNoteRequest, MergeTicketsRequest, RestrictTicketRequest, SetStatusRequest,
        SnoozeTicketRequest, Ticket, UnrestrictTicketRequest, UpdateTicketRequest,
        WakeTicketRequest,
    },
    types::v1::{Channel, IdentityKind, TicketStatus},
};
use uuid::Uuid;

use super::{
    Op, PARTS, SUBSTATUSES,
    model::{Author, Model, Refusal},
};
use crate::{
    api_world::{AGENT, Api, reason},
    matters::{from, saying},
    merges::{split, unmerge},
    support::{answer, message},
};

/// How long a ticket sleeps: longer than any test plays.
const SLEEP: SignedDuration = SignedDuration::from_hours(24 * 365);

/// One sequence of steps, with people of its own.
pub(super) struct Play<'a> {
    pub(super) api: &'a Api,
    /// Makes names that no other sequence has.
    pub(super) run: usize,
    pub(super) model: Model,
    pub(super) tickets: Vec<Uuid>,
    pub(super) messages: Vec<Uuid>,
    names: Vec<String>,
    pub(super) contacts: BTreeMap<usize, Uuid>,
    /// What was done, for whoever reads of a difference.
    script: String,
}

/// A call that may be refused, as it is told.
type Answer = Result<(), String>;

fn told<T>(answer: Result<T, tonic::Status>) -> Answer {
    answer.map(drop).map_err(|status| reason(&status))
}

/// Any of `count`, or none if there is none.
fn pick(place: u8, count: usize) -> Option<usize> {
    usize::from(place).checked_rem(count)
}

impl<'a> Play<'a> {
    pub(super) fn new(api: &'a Api, run: usize) -> Self {
        Self {
            api,
            run,
            model: Model::default(),
            tickets: Vec::new(),
            messages: Vec::new(),
            names: Vec::new(),
            contacts: BTreeMap::new(),
            script: String::new(),
        }
    }

    fn now(&self) -> Timestamp {
        self.api.world.harness.clock.now()
    }

    /// What was done, and what came of it.
    pub(super) fn failed(&self, what: &str) -> String {
        format!("{what}\nafter:\n{}", self.script)
    }

    fn say(&mut self, what: &str) {
        let _ = writeln!(self.script, "  {what}");
    }

    /// Answer and model must say the same.
    fn agree(&mut self, what: &str, answer: &Answer, wanted: &Result<(), Refusal>) -> Answer {
        self.say(&format!("{what}: {answer:?}"));
        let same = match (answer, wanted) {
            (Ok(()), Ok(())) => true,
            (Err(is), Err(should)) => is == should,
            _ => false,
        };
        if same {
            Ok(())
        } else {
            Err(format!("{what}: {answer:?} instead of {wanted:?}"))
        }
    }

    fn author(&self, person: usize, session: Option<&str>) -> Author {
        let own = format!("person{person}@run{}.example", self.run);
        Author {
            person,
            address: session.map_or(own, str::to_owned),
            session: session.map(str::to_owned),
        }
    }

    fn name(&self) -> String {
        format!("{}-{}@run.example", self.run, self.names.len())
    }

    /// A mail of somebody who proved to be its sender.
    fn mail(&self, person: usize, references: &[&str]) -> MessageReceived {
        let address = self.author(person, None).address;
        let mail = answer(&self.name(), &address, references);
        let person = format!("Person {person} of {}", self.run);
        from(mail, &person, &[(IdentityKind::Email, &address, true)])
    }

    /// A line of a chat in which they signed in.
    fn line(&self, person: usize, session: &str, text: &str) -> MessageReceived {
        let address = self.author(person, None).address;
        let name = self.name();
        let line = message(Channel::Chat, "chat", &name, session, Sender::default());
        let person = format!("Person {person} of {}", self.run);
        let identities = [
            (IdentityKind::Email, address.as_str(), true),
            (IdentityKind::ChatSession, session, true),
        ];
        saying(from(line, &person, &identities), "", text)
    }

    /// Files a message that should go to `wanted`, or open a ticket.
    async fn file(
        &mut self,
        what: &str,
        received: &MessageReceived,
        author: Author,
        wanted: Option<usize>,
        joined: bool,
    ) -> Answer {
        let filed = self.api.world.file(received).await;
        let filed = filed.ok_or("the message has no ticket")?;
        let known = self.tickets.iter().position(|id| *id == filed.id);
        self.say(&format!("{what}: on {known:?}"));
        if known != wanted {
            return Err(format!("{what}: on {known:?} instead of {wanted:?}"));
        }
        let id = Uuid::parse_str(&received.message_id).map_err(|error| error.to_string())?;
        let contact: String =
            sqlx::query_scalar("SELECT author_id FROM tickets.message WHERE id = $1")
                .bind(id)
                .fetch_one(self.api.world.pool())
                .await
                .unwrap();
        let contact = Uuid::parse_str(&contact).map_err(|error| error.to_string())?;
        if *self.contacts.entry(author.person).or_insert(contact) != contact {
            return Err(format!("{what}: person {} is somebody else", author.person));
        }
        let ticket = wanted.unwrap_or_else(|| {
            self.tickets.push(filed.id);
            self.model.open(author.person)
        });
        let now = self.now();
        self.model.write(ticket, author, joined, now);
        self.names.push(received.external_id.clone());
        self.messages.push(id);
        Ok(())
    }

    /// A mail about an order of its own.
    pub(super) async fn begin(&mut self, person: usize) -> Answer {
        let order = format!("order 9{:05}{:03}", self.run, self.names.len());
        let mail = saying(self.mail(person, &[]), &order, &order);
        let author = self.author(person, None);
        let what = format!("person {person} begins");
        self.file(&what, &mail, author, None, false).await
    }

    async fn answer(&mut self, place: u8, person: usize) -> Answer {
        let mails = self.model.mails();
        let Some(place) = pick(place, mails.len()) else {
            return Ok(());
        };
        let message = mails[place];
        let name = self.names[message].clone();
        let mail = self.mail(person, &[&name]);
        let wanted = self.model.answers(message);
        let what = format!("person {person} answers message {message}");
        let author = self.author(person, None);
        self.file(&what, &mail, author, Some(wanted), false).await
    }

    /// The first line of a chat, which names the number of a ticket.
    async fn chat(&mut self, place: u8, person: usize) -> Answer {
        let Some(ticket) = pick(place, self.tickets.len()) else {
            return Ok(());
        };
        let ticket = self.model.home(ticket);
        let number = self.api.world.ticket(self.tickets[ticket]).await.number;
        let session = format!("chat-{}-{}", self.run, self.names.len());
        let line = self.line(person, &session, &format!("about ticket {number}"));
        let joins = self.model.joins(ticket, person);
        let what = format!("person {person} chats about ticket {ticket}");
        let author = self.author(person, Some(&session));
        let wanted = joins.then_some(ticket);
        self.file(&what, &line, author, wanted, joins).await
    }

    async fn next_line(&mut self, place: u8) -> Answer {
        let sessions = self.model.sessions();
        let Some(place) = pick(place, sessions.len()) else {
            return Ok(());
        };
        let (session, person) = &sessions[place];
        let line = self.line(*person, session, "and another thing");
        let wanted = self.model.next_of(session);
        let what = format!("the next line of {session}");
        let author = self.author(*person, Some(session));
        self.file(&what, &line, author, wanted, false).await
    }

    async fn note(&mut self, ticket: usize) -> Answer {
        let request = AddNoteRequest {
            ticket_id: self.tickets[ticket].to_string(),
            text: "a note".to_owned(),
            ..AddNoteRequest::default()
        };
        let call = self.api.agent(request);
        let answer = self.api.tickets().add_note(call).await;
        if let Ok(note) = &answer {
            let id = Uuid::parse_str(&note.get_ref().id).map_err(|error| error.to_string())?;
            self.messages.push(id);
            self.names.push(String::new());
        }
        let wanted = self.model.note(ticket);
        self.agree(
            &format!("a note on ticket {ticket}"),
            &told(answer),
            &wanted,
        )
    }

    async fn set_status(&mut self, ticket: usize, status: Status) -> Answer {
        let name = format!("TICKET_STATUS_{}", status.name().to_uppercase());
        let request = SetStatusRequest {
            ticket_id: self.tickets[ticket].to_string(),
            status: TicketStatus::from_str_name(&name).unwrap().into(),
            ..SetStatusRequest::default()
        };
        let call = self.api.agent(request);
        let answer = told(self.api.tickets().set_status(call).await);
        let now = self.now();
        let wanted = self.model.set_status(ticket, status, now);
        self.agree(&format!("ticket {ticket} is {status}"), &answer, &wanted)
    }

    async fn set_substatus(&mut self, ticket: usize, place: u8) -> Answer {
        let place = pick(place, SUBSTATUSES.len() + 1).unwrap_or(0);
        let wanted = SUBSTATUSES.get(place).copied();
        let name = wanted.map_or("", |(name, _)| name);
        let request = UpdateTicketRequest {
            ticket: Some(Ticket {
                id: self.tickets[ticket].to_string(),
                substatus: name.to_owned(),
                ..Ticket::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["substatus".to_owned()],
            }),
            ..UpdateTicketRequest::default()
        };
        let call = self.api.agent(request);
        let answer = told(self.api.tickets().update_ticket(call).await);
        let now = self.now();
        let wanted = self.model.set_substatus(ticket, wanted, now);
        self.agree(&format!("ticket {ticket} is '{name}'"), &answer, &wanted)
    }

    async fn snooze(&mut self, ticket: usize, timed: bool) -> Answer {
        let now = self.now();
        let until = timed.then(|| now + SLEEP);
        let request = SnoozeTicketRequest {
            ticket_id: self.tickets[ticket].to_string(),
            until_time: until.map(to_proto_time),
            ..SnoozeTicketRequest::default()
        };
        let call = self.api.agent(request);
        let answer = told(self.api.work().snooze_ticket(call).await);
        let wanted = self.model.snooze(ticket, until, now);
        let what = format!("ticket {ticket} sleeps until {until:?}");
        self.agree(&what, &answer, &wanted)
    }

    async fn wake(&mut self, ticket: usize) -> Answer {
        let request = WakeTicketRequest {
            ticket_id: self.tickets[ticket].to_string(),
            ..WakeTicketRequest::default()
        };
        let call = self.api.agent(request);
        let answer = told(self.api.work().wake_ticket(call).await);
        let now = self.now();
        let wanted = self.model.wake(ticket, now);
        self.agree(&format!("ticket {ticket} wakes"), &answer, &wanted)
    }

    async fn merge(&mut self, sources: BTreeSet<usize>, target: usize) -> Answer {
        let request = MergeTicketsRequest {
            source_ids: sources
                .iter()
                .map(|it| self.tickets[*it].to_string())
                .collect(),
            target_id: self.tickets[target].to_string(),
            reason: "one matter".to_owned(),
            ..MergeTicketsRequest::default()
        };
        let call = self.api.agent(request);
        let answer = told(self.api.tickets().merge_tickets(call).await);
        let now = self.now();
        let wanted = self.model.merge(&sources, target, now);
        let what = format!("merge {sources:?} into {target}");
        self.agree(&what, &answer, &wanted)
    }

    async fn unmerge(&mut self, ticket: usize) -> Answer {
        let answer = told(unmerge(self.api, self.tickets[ticket]).await);
        let wanted = self.model.unmerge(ticket);
        self.agree(&format!("unmerge {ticket}"), &answer, &wanted)
    }

    async fn split(&mut self, message: usize) -> Answer {
        let answer = split(self.api, self.messages[message]).await;
        if let Ok(new) = &answer {
            let id = Uuid::parse_str(&new.id).map_err(|error| error.to_string())?;
            self.tickets.push(id);
        }
        let wanted = self.model.split(message).map(drop);
        self.agree(&format!("split {message}"), &told(answer), &wanted)
    }

    /// Restricts a ticket with all that is part of it, or ends that.
    async fn restrict(&mut self, ticket: usize) -> Answer {
        let ticket_id = self.tickets[ticket].to_string();
        let restricted = !self.model.is_restricted(ticket);
        let mut client = self.api.tickets();
        let answer = if restricted {
            let begin = RestrictTicketRequest {
                ticket_id,
                agent_ids: vec![AGENT.to_string()],
                reason: "a threat".to_owned(),
                ..RestrictTicketRequest::default()
            };
            told(client.restrict_ticket(self.api.admin(begin)).await)
        } else {
            let end = UnrestrictTicketRequest {
                ticket_id,
                reason: "it was nothing".to_owned(),
                ..UnrestrictTicketRequest::default()
            };
            told(client.unrestrict_ticket(self.api.admin(end)).await)
        };
        let wanted = self.model.restrict(ticket, restricted);
        let what = format!("ticket {ticket} is restricted: {restricted}");
        self.agree(&what, &answer, &wanted)
    }

    /// Takes a step, on the first tickets and messages if it names none that are there.
    pub(super) async fn step(&mut self, op: &Op) -> Answer {
        // So that no two things happen at the same time.
        let clock = &self.api.world.harness.clock;
        clock.advance(SignedDuration::from_millis(1));
        let count = self.tickets.len();
        let of = |place: u8| pick(place, count).unwrap_or(0);
        match *op {
            Op::Begin(person) => self.begin(usize::from(person)).await,
            Op::Answer(place, person) => self.answer(place, usize::from(person)).await,
            Op::Chat(place, person) => self.chat(place, usize::from(person)).await,
            Op::NextLine(place) => self.next_line(place).await,
            Op::Note(place) => self.note(of(place)).await,
            Op::Status(place, status) => self.set_status(of(place), status).await,
            Op::Substatus(place, name) => self.set_substatus(of(place), name).await,
            Op::Snooze(place, timed) => self.snooze(of(place), timed).await,
            Op::Wake(place) => self.wake(of(place)).await,
            Op::Merge(one, other, target) => {
                let sources = [Some(one), other].into_iter().flatten().map(of);
                self.merge(sources.collect(), of(target)).await
            }
            Op::Unmerge(place) => self.unmerge(of(place)).await,
            Op::Split(place) => {
                let message = pick(place, self.messages.len()).unwrap_or(0);
                self.split(message).await
            }
            Op::Restrict(place) => self.restrict(of(place)).await,
        }
    }

    /// The name and status of a sub-status, as requests to define them take it.
    pub(super) fn substatus_names() -> impl Iterator<Item = (&'static str, TicketStatus)> {
        SUBSTATUSES
            .into_iter()
            .zip(PARTS)
            .map(|((name, _), it)| (name, it))
    }
}
