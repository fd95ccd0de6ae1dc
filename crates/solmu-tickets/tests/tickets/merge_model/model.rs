//! What should come of it, worked out from little: each ticket keeps where it stands by itself, and what the merges that
//! hold make of that follows anew each time. So taking a merge back is nothing but forgetting it.

mod parts;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use solmu_domain::ticket::{ReplyEffect, Status};
use solmu_tickets::Config;

/// Why something is refused.
pub(super) type Refusal = &'static str;

/// Until when a ticket sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    Until(Timestamp),
    CustomerWrites,
}

impl From<Option<Timestamp>> for Sleep {
    fn from(until: Option<Timestamp>) -> Self {
        until.map_or(Self::CustomerWrites, Self::Until)
    }
}

/// Where a ticket stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) status: Status,
    pub(super) substatus: String,
    /// If it sleeps.
    pub(super) snooze: Option<Sleep>,
    pub(super) close_at: Option<Timestamp>,
    pub(super) resolved_at: Option<Timestamp>,
}

impl Stand {
    fn new(status: Status) -> Self {
        Self {
            status,
            substatus: String::new(),
            snooze: None,
            close_at: None,
            resolved_at: None,
        }
    }

    /// The same ticket in another status: what belongs to the old one ends with it.
    fn moved(&self, to: Status, now: Timestamp) -> Self {
        if to == self.status {
            return self.clone();
        }
        let days = SignedDuration::from_hours(24 * i64::from(Config::default().close_after_days));
        let over = to == Status::Resolved;
        Self {
            snooze: self.snooze.filter(|_| waits(to)),
            close_at: over.then(|| now + days),
            resolved_at: over.then_some(now),
            ..Self::new(to)
        }
    }
}

/// Whether somebody else has to act: only then a ticket sleeps.
fn waits(status: Status) -> bool {
    matches!(
        status,
        Status::WaitingOnCustomer | Status::WaitingOnThirdParty
    )
}

fn replied(status: Status) -> Status {
    match status.customer_replied(true) {
        ReplyEffect::Join(after) => after,
        ReplyEffect::OpenLinked => status,
    }
}

/// A merge that holds.
#[derive(Debug, Clone)]
struct Merge {
    target: usize,
    /// Later ones have higher ones.
    order: usize,
    /// Where the source stood.
    stood: Stand,
    /// The last sequence of the target before.
    base: i64,
    /// What moved, and the sequences that it had.
    moved: Vec<(usize, i64)>,
    at: Timestamp,
}

#[derive(Debug, Clone)]
struct Ticket {
    /// Where it stands without the merges into it.
    own: Stand,
    /// When that was decided last, in the order of merges.
    decided: usize,
    person: usize,
    merged: Option<Merge>,
    restricted: bool,
    /// The highest sequence that it gave out.
    last: i64,
    /// Who takes part without the merges into it.
    people: BTreeSet<String>,
}

/// Who wrote a message.
#[derive(Debug, Clone)]
pub(super) struct Author {
    pub(super) person: usize,
    pub(super) address: String,
    /// The conversation that it is a line of, if it is one.
    pub(super) session: Option<String>,
}

#[derive(Debug, Clone)]
struct Message {
    on: usize,
    sequence: i64,
    /// None: an agent's note.
    author: Option<Author>,
    /// Where its id leads, before merges.
    leads: usize,
    /// It joined with its conversation because of its matter.
    joined: bool,
}

/// Everything that is compared of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) status: String,
    pub(super) substatus: String,
    pub(super) snooze: Option<Sleep>,
    pub(super) close_at: Option<Timestamp>,
    pub(super) resolved_at: Option<Timestamp>,
    pub(super) closed_at: Option<Timestamp>,
    pub(super) merged_into: Option<usize>,
    pub(super) restricted: bool,
    pub(super) person: usize,
    pub(super) last: i64,
    /// How many it has by its own count.
    pub(super) count: usize,
    /// Messages and their sequences, in order.
    pub(super) messages: Vec<(usize, i64)>,
    pub(super) people: BTreeSet<String>,
}

/// What should be true.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    tickets: Vec<Ticket>,
    messages: Vec<Message>,
    /// Where the next line of each conversation goes, before merges.
    sessions: Vec<(String, usize, usize)>,
    /// How many merges and decisions there were.
    steps: usize,
}

impl Model {
    /// The ticket that stands for `ticket`.
    pub(super) fn home(&self, ticket: usize) -> usize {
        let next = self.tickets[ticket].merged.as_ref();
        next.map_or(ticket, |merge| self.home(merge.target))
    }

    fn is_part(&self, one: usize, of: usize) -> bool {
        let next = self.tickets[one].merged.as_ref();
        one == of || next.is_some_and(|merge| self.is_part(merge.target, of))
    }

    /// Merges into `ticket`, oldest first: each with its source.
    fn parts(&self, ticket: usize) -> Vec<(usize, &Merge)> {
        let all = self.tickets.iter().enumerate();
        let mut parts: Vec<_> = all
            .filter_map(|(source, it)| Some((source, it.merged.as_ref()?)))
            .filter(|(_, merge)| merge.target == ticket)
            .collect();
        parts.sort_by_key(|(_, merge)| merge.order);
        parts
    }

    /// The merges since it was decided where `ticket` stands that let somebody wait there, oldest first.
    fn lifters(&self, ticket: usize) -> Vec<usize> {
        let it = &self.tickets[ticket];
        let own = it.own.status;
        if replied(own) == own {
            return Vec::new();
        }
        let waits = |merge: &Merge| {
            let source = merge.stood.status;
            matches!(source, Status::New | Status::CustomerReplied)
                || (own == Status::Resolved && source.is_open())
        };
        let parts = self.parts(ticket).into_iter();
        parts
            .filter(|(_, merge)| merge.order > it.decided && waits(merge))
            .map(|(source, _)| source)
            .collect()
    }

    /// Where a ticket that stands for itself stands.
    fn shown(&self, ticket: usize) -> Stand {
        let own = &self.tickets[ticket].own;
        if self.lifters(ticket).is_empty() {
            own.clone()
        } else {
            Stand::new(replied(own.status))
        }
    }

    pub(super) fn status(&self, ticket: usize) -> Status {
        self.shown(ticket).status
    }

    /// Who takes part, with those of what is part of it.
    fn people(&self, ticket: usize) -> BTreeSet<String> {
        let mut people = self.tickets[ticket].people.clone();
        for (source, _) in self.parts(ticket) {
            people.extend(self.people(source));
        }
        people
    }

    fn on(&self, ticket: usize) -> Vec<(usize, i64)> {
        let all = self.messages.iter().enumerate();
        let mut there: Vec<_> = all
            .filter(|(_, message)| message.on == ticket)
            .map(|(place, message)| (place, message.sequence))
            .collect();
        there.sort_by_key(|(_, sequence)| *sequence);
        there
    }

    pub(super) fn row(&self, ticket: usize) -> Row {
        let it = &self.tickets[ticket];
        let stand = self.shown(ticket);
        let messages = self.on(ticket);
        let row = Row {
            status: stand.status.to_string(),
            substatus: stand.substatus,
            snooze: stand.snooze,
            close_at: stand.close_at,
            resolved_at: stand.resolved_at,
            closed_at: None,
            merged_into: None,
            restricted: it.restricted,
            person: it.person,
            last: it.last,
            count: messages.len(),
            messages,
            people: self.people(ticket),
        };
        let Some(merge) = &it.merged else { return row };
        Row {
            status: Status::Closed.to_string(),
            substatus: String::new(),
            snooze: None,
            close_at: None,
            resolved_at: merge.stood.resolved_at.or(Some(merge.at)),
            closed_at: Some(merge.at),
            merged_into: Some(merge.target),
            ..row
        }
    }

    /// Whether a chat of `person` that names `ticket` joins it: it is theirs, and what they wrote proves it.
    pub(super) fn joins(&self, ticket: usize, person: usize) -> bool {
        let mut there = self.messages.iter().filter(|it| it.on == ticket);
        let is_theirs = |it: &Message| it.author.as_ref().is_some_and(|it| it.person == person);
        self.tickets[ticket].person == person
            && self.status(ticket).is_open()
            && there.any(is_theirs)
    }

    /// The conversations of which the next line may come, with the person of each.
    pub(super) fn sessions(&self) -> Vec<(String, usize)> {
        let all = self.sessions.iter();
        all.map(|(name, person, _)| (name.clone(), *person))
            .collect()
    }

    /// The ticket of the next line of a conversation.
    pub(super) fn next_of(&self, session: &str) -> Option<usize> {
        let way = self.sessions.iter().find(|(name, ..)| name == session);
        way.map(|(_, _, leads)| self.home(*leads))
    }

    /// Messages that a mail can answer.
    pub(super) fn mails(&self) -> Vec<usize> {
        let all = self.messages.iter().enumerate();
        let is_mail = |message: &Message| {
            let author = message.author.as_ref();
            author.is_some_and(|author| author.session.is_none())
        };
        all.filter(|(_, message)| is_mail(message))
            .map(|(place, _)| place)
            .collect()
    }

    /// The ticket of an answer to a message.
    pub(super) fn answers(&self, message: usize) -> usize {
        self.home(self.messages[message].leads)
    }

    /// A ticket that `person` opens.
    pub(super) fn open(&mut self, person: usize) -> usize {
        self.tickets.push(Ticket {
            own: Stand::new(Status::New),
            decided: self.steps,
            person,
            merged: None,
            restricted: false,
            last: 0,
            people: BTreeSet::new(),
        });
        self.tickets.len() - 1
    }

    /// A customer's message on a ticket that stands for itself.
    pub(super) fn write(&mut self, ticket: usize, author: Author, joined: bool, now: Timestamp) {
        if self.lifters(ticket).is_empty() {
            let own = self.tickets[ticket].own.clone();
            let after = own.moved(replied(own.status), now);
            self.decide(ticket, after);
        }
        if !self.people(ticket).contains(&author.address) {
            self.tickets[ticket].people.insert(author.address.clone());
        }
        if let Some(session) = &author.session
            && self.next_of(session).is_none()
        {
            let way = (session.clone(), author.person, ticket);
            self.sessions.push(way);
        }
        self.add(ticket, Some(author), joined);
    }

    fn add(&mut self, ticket: usize, author: Option<Author>, joined: bool) {
        self.tickets[ticket].last += 1;
        self.messages.push(Message {
            on: ticket,
            sequence: self.tickets[ticket].last,
            author,
            leads: ticket,
            joined,
        });
    }

    /// From now on it stands there, whatever is taken back later.
    fn decide(&mut self, ticket: usize, stand: Stand) {
        if self.shown(ticket) != stand {
            self.settle(ticket, stand);
        }
    }

    fn settle(&mut self, ticket: usize, stand: Stand) {
        self.steps += 1;
        self.tickets[ticket].decided = self.steps;
        self.tickets[ticket].own = stand;
    }

    fn by_itself(&self, ticket: usize) -> Result<Stand, Refusal> {
        match self.tickets[ticket].merged {
            Some(_) => Err("TICKET_MERGED"),
            None => Ok(self.shown(ticket)),
        }
    }

    /// An agent's note.
    pub(super) fn note(&mut self, ticket: usize) -> Result<(), Refusal> {
        self.by_itself(ticket)?;
        self.add(ticket, None, false);
        Ok(())
    }

    /// A status by hand.
    pub(super) fn set_status(
        &mut self,
        ticket: usize,
        to: Status,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let stand = self.by_itself(ticket)?;
        if stand.status.move_to(to).is_err() {
            return Err("ILLEGAL_STATUS_MOVE");
        }
        self.decide(ticket, stand.moved(to, now));
        Ok(())
    }

    /// A sub-status, which brings its status along; none: it has none any more.
    pub(super) fn set_substatus(
        &mut self,
        ticket: usize,
        to: Option<(&str, Status)>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut stand = self.by_itself(ticket)?;
        match to {
            None => stand.substatus = String::new(),
            Some((_, status)) if stand.status.move_to(status).is_err() => {
                return Err("ILLEGAL_STATUS_MOVE");
            }
            Some((name, status)) => {
                stand = stand.moved(status, now);
                name.clone_into(&mut stand.substatus);
            }
        }
        self.decide(ticket, stand);
        Ok(())
    }

    /// It sleeps until a time, or until its customer writes.
    pub(super) fn snooze(
        &mut self,
        ticket: usize,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let stand = self.by_itself(ticket)?;
        if !stand.status.is_open() {
            return Err("NOT_OPEN");
        }
        let stays = Some(stand.status).filter(|it| waits(*it));
        let mut stand = stand.moved(stays.unwrap_or(Status::WaitingOnThirdParty), now);
        stand.snooze = Some(until.into());
        self.decide(ticket, stand);
        Ok(())
    }

    pub(super) fn wake(&mut self, ticket: usize, now: Timestamp) -> Result<(), Refusal> {
        let stand = self.by_itself(ticket)?;
        if stand.snooze.is_some() {
            self.decide(ticket, stand.moved(Status::Open, now));
        }
        Ok(())
    }

    /// Whether only some people see it.
    pub(super) fn is_restricted(&self, ticket: usize) -> bool {
        self.tickets[ticket].restricted
    }

    /// It is restricted with all that is part of it, or that ends.
    pub(super) fn restrict(&mut self, ticket: usize, restricted: bool) -> Result<(), Refusal> {
        self.by_itself(ticket)?;
        for one in 0..self.tickets.len() {
            if self.is_part(one, ticket) {
                self.tickets[one].restricted = restricted;
            }
        }
        Ok(())
    }
}
