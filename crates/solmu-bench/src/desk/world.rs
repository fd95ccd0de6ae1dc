//! What a made-up desk consists of: every fact is a function of the seed and a number, so that the loader writes it and
//! the calls ask for it without either keeping a list.
//!
//! The skew is that of a real desk: most tickets are closed, the open ones are young; a few customers write often, most
//! once or twice; most tickets have a few messages, some many. Ids carry their time in front (UUIDv7), as those of the
//! system do: random ones would spread each day over all pages of every index.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::{
    random::Random,
    texts::{ENGLISH, FINNISH, SWEDISH},
};

use super::language::Language;

/// How long back tickets go.
const SPAN: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Messages of a ticket, each as likely as the next; five on average.
const MESSAGES: [u32; 12] = [1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 15];
const MESSAGES_MEAN: f64 = 5.0;
/// Teams, and agents in all of them.
pub(super) const TEAMS: usize = 24;
pub(super) const AGENTS: usize = 240;

/// Each as likely as the next.
const TAGS: [&[&str]; 5] = [&[], &[], &[], &["vip"], &["complaint", "invoice"]];

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) tickets: usize,
    /// About so many.
    pub(crate) messages: usize,
    pub(crate) seed: u64,
}

/// A desk of a size, as it was at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) size: Size,
    /// When it was loaded: the newest of all times.
    pub(crate) now: Timestamp,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) id: Uuid,
    pub(super) contact: usize,
    pub(super) opened: Timestamp,
    pub(super) status: &'static str,
    pub(super) priority: &'static str,
    pub(super) team: usize,
    pub(super) assignee: Option<usize>,
    pub(super) tags: &'static [&'static str],
    pub(super) category: &'static str,
    /// What it is written in, and what is known of that.
    pub(super) language: Language,
    pub(super) language_known: bool,
    pub(super) due: Option<Timestamp>,
    pub(super) messages: u32,
}

fn is_open(status: &str) -> bool {
    !matches!(status, "resolved" | "closed")
}

/// A person who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) address: String,
}

/// An id with its time in front. `kind` and `number` make it unique.
fn id(at: Timestamp, kind: u64, seed: u64, number: u64) -> Uuid {
    let mut random = Random::new(
        ((seed << 8) ^ kind)
            .wrapping_mul(0x9e37_79b9)
            .wrapping_add(number),
    );
    let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
    let (high, low) = (random.next(), random.next());
    Uuid::from_u64_pair(
        (millis << 16) | 0x7000 | (high & 0x0fff),
        (1 << 63) | (low >> 2),
    )
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl World {
    pub(super) fn contacts(&self) -> usize {
        (self.size.tickets * 3).div_ceil(10)
    }

    fn random(&self, kind: u64, number: u64) -> Random {
        Random::new(((self.size.seed << 16) ^ (kind << 48)).wrapping_add(number))
    }

    /// Since when there are contacts, teams and agents.
    pub(super) fn began(&self) -> Timestamp {
        self.now - SPAN - SignedDuration::from_hours(24)
    }

    pub(super) fn contact_id(&self, number: usize) -> Uuid {
        id(self.began(), 1, self.size.seed, wide(number))
    }

    pub(super) fn team_id(&self, number: usize) -> Uuid {
        id(self.began(), 3, self.size.seed, wide(number % TEAMS))
    }

    pub(super) fn agent_id(&self, number: usize) -> Uuid {
        id(self.began(), 4, self.size.seed, wide(number % AGENTS))
    }

    pub(super) fn contact(&self, number: usize) -> Contact {
        let mut random = self.random(1, wide(number));
        let texts = random.pick(&[FINNISH, FINNISH, ENGLISH, SWEDISH]);
        let (first, last) = (
            random.pick(texts.first_names),
            random.pick(texts.last_names),
        );
        Contact {
            id: self.contact_id(number),
            name: format!("{first} {last}"),
            address: format!("customer{number}@bench{}.example", number % 997),
        }
    }

    /// When it was opened: evenly over the year, in the order of the numbers.
    fn opened(&self, number: usize) -> Timestamp {
        let step = SPAN.as_millis() / i128::try_from(self.size.tickets.max(1)).unwrap_or(1);
        let left = self.size.tickets.saturating_sub(number);
        let back = step * i128::try_from(left).unwrap_or(0);
        self.now - SignedDuration::from_millis(i64::try_from(back).unwrap_or(0))
    }

    pub(super) fn ticket_id(&self, number: usize) -> Uuid {
        id(self.opened(number), 2, self.size.seed, wide(number))
    }

    pub(super) fn ticket(&self, number: usize) -> Ticket {
        let mut random = self.random(2, wide(number));
        let opened = self.opened(number);
        let age = self.now.duration_since(opened);
        let status = status(&mut random, age);
        let team = skewed(&mut random, TEAMS);
        let due =
            SignedDuration::from_mins(i64::try_from(random.below(7_000)).unwrap_or(0) - 2_000);
        let language = random.one(&[
            Language::Finnish,
            Language::Finnish,
            Language::Finnish,
            Language::English,
            Language::Swedish,
        ]);
        let contact = if random.below(2) == 0 {
            skewed(&mut random, self.contacts())
        } else {
            random.below(self.contacts())
        };
        Ticket {
            id: id(opened, 2, self.size.seed, wide(number)),
            contact,
            opened,
            status,
            priority: random.one(&["low", "normal", "normal", "normal", "high", "urgent"]),
            team,
            // An agent of the team: teams have ten each.
            assignee: (status != "new")
                .then(|| team * (AGENTS / TEAMS) + random.below(AGENTS / TEAMS)),
            tags: random.one(&TAGS),
            category: random.one(&[
                "",
                "billing/refund",
                "complaint",
                "delivery",
                "delivery/late",
            ]),
            language,
            language_known: language != Language::Finnish || random.below(12) > 0,
            due: is_open(status).then(|| self.now + due),
            messages: self.messages_of(&mut random),
        }
    }

    fn messages_of(&self, random: &mut Random) -> u32 {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let scale = self.size.messages as f64 / self.size.tickets.max(1) as f64 / MESSAGES_MEAN;
        let wanted = f64::from(random.one(&MESSAGES)) * scale;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 1000"
        )]
        let whole = wanted.round().clamp(1.0, 1_000.0) as u32;
        whole
    }

    /// When the messages of a ticket came: the first one with it, then hours apart, none in the future.
    pub(super) fn message_times(&self, number: usize, ticket: &Ticket) -> Vec<Timestamp> {
        let mut random = self.random(5, wide(number));
        let mut at = ticket.opened;
        (0..ticket.messages)
            .map(|sequence| {
                if sequence > 0 {
                    let minutes = i64::try_from(5 + random.below(1_500)).unwrap_or(60);
                    at = (at + SignedDuration::from_mins(minutes)).min(self.now);
                }
                at
            })
            .collect()
    }

    pub(super) fn message_id(&self, number: usize, sequence: u32, at: Timestamp) -> Uuid {
        id(
            at,
            5,
            self.size.seed,
            wide(number) * 1_024 + u64::from(sequence),
        )
    }

    /// The numbers that the words of a message or, with sequence 0, of a ticket are drawn from.
    pub(super) fn words_of(&self, number: usize, sequence: u32) -> Random {
        self.random(6, wide(number) * 1_024 + u64::from(sequence))
    }
}

/// The younger, the more are open.
fn status(random: &mut Random, age: SignedDuration) -> &'static str {
    let open_in_thousand = match age.as_hours() / 24 {
        ..2 => 600,
        2..14 => 150,
        14..60 => 30,
        _ => 2,
    };
    if random.below(1_000) < open_in_thousand {
        random.one(&["new", "open", "open", "waiting_on_customer"])
    } else if age.as_hours() < 14 * 24 {
        "resolved"
    } else {
        "closed"
    }
}

/// A number below `end`, low ones far likelier: the product of an even one and two between 0 and 1.
fn skewed(random: &mut Random, end: usize) -> usize {
    let even = random.below(end);
    let once = (even * random.below(1 << 20)) >> 20;
    (once * random.below(1 << 20)) >> 20
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn world(tickets: usize) -> World {
        World {
            size: Size {
                tickets,
                messages: tickets * 5,
                seed: 1,
            },
            now: "2026-11-22T12:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_desk_is_the_same_again_and_skewed_as_a_real_one() {
        let world = world(20_000);
        let tickets: Vec<Ticket> = (0..20_000).map(|number| world.ticket(number)).collect();
        assert_eq!(tickets[77], world.ticket(77));
        assert_eq!(tickets[77].id, world.ticket_id(77));
        let open = tickets.iter().filter(|it| is_open(it.status)).count();
        assert!((100..1_000).contains(&open), "{open}");
        let messages: u32 = tickets.iter().map(|it| it.messages).sum();
        assert!((95_000..105_000).contains(&messages), "{messages}");
        let mut by_contact: BTreeMap<usize, usize> = BTreeMap::new();
        for ticket in &tickets {
            *by_contact.entry(ticket.contact).or_default() += 1;
        }
        let most = by_contact.values().max().copied().unwrap_or_default();
        assert!(
            most > 10 && by_contact.len() > 4_000,
            "{most} {}",
            by_contact.len()
        );
    }

    #[test]
    fn ids_are_unique_and_in_the_order_of_time() {
        let world = world(3_000);
        let mut ids = BTreeSet::new();
        let mut last = Uuid::nil();
        for number in 0..3_000 {
            let ticket = world.ticket(number);
            assert!(ticket.id > last && ticket.id.get_version_num() == 7);
            last = ticket.id;
            assert!(ids.insert(ticket.id) && ids.insert(world.contact_id(number)));
            for (sequence, at) in (1..).zip(world.message_times(number, &ticket)) {
                assert!(at <= world.now && ids.insert(world.message_id(number, sequence, at)));
            }
        }
    }
}
