//! Random merges, unmerges, splits, reopenings, restrictions, mails and chats about an order, beside a simple model of what
//! should come of them.

use std::collections::{BTreeMap, BTreeSet};

use solmu_domain::{clock::Clock as _, rng::SeededRng};
use solmu_proto::{
    ticket::v1::{
        RestrictTicketRequest, SetStatusRequest, SnoozeTicketRequest, UnrestrictTicketRequest,
    },
    types::v1::TicketStatus,
};
use solmu_tickets::{Config, Matter};
use uuid::Uuid;

use crate::{
    api_world::{AGENT, Api, reason},
    matters::{chat_of_aino, proven_mail, saying},
    merges::{merge, split, unmerge},
    siblings::Dice,
};

const STEPS: usize = 40;

/// A mail: its id, the ticket that it is on, and the one to which its id leads.
struct Mail {
    name: String,
    id: Uuid,
    on: Uuid,
    leads: Uuid,
    /// The conversation that it is a line of, if it is one.
    session: Option<String>,
}

/// What should be true.
#[derive(Default)]
struct Model {
    mails: Vec<Mail>,
    tickets: Vec<Uuid>,
    /// Where the next line of each conversation goes, before merges.
    sessions: BTreeMap<String, Uuid>,
    /// What each ticket is part of, and the mails that moved there with it.
    merged: BTreeMap<Uuid, (Uuid, Vec<Uuid>)>,
    /// Where a merged ticket stood, where its target stood, and the version of the target since.
    stood: BTreeMap<Uuid, (Stand, Stand, i64)>,
    /// Tickets that only some people see.
    restricted: BTreeSet<Uuid>,
}

/// Status, sub-status, whether and until when it sleeps, when it closes, since when it is resolved.
type Stand = (
    String,
    String,
    bool,
    Option<String>,
    Option<String>,
    Option<String>,
);

impl Model {
    fn home(&self, ticket: Uuid) -> Uuid {
        let next = self.merged.get(&ticket);
        next.map_or(ticket, |(target, _)| self.home(*target))
    }

    /// All that is part of a ticket, with itself.
    fn family(&self, ticket: Uuid) -> Vec<Uuid> {
        let all = self.tickets.iter().copied();
        all.filter(|it| self.is_part(*it, ticket)).collect()
    }

    fn is_part(&self, one: Uuid, of: Uuid) -> bool {
        let next = self.merged.get(&one);
        one == of || next.is_some_and(|(target, _)| self.is_part(*target, of))
    }

    fn of(&self, ticket: Uuid) -> Vec<Uuid> {
        let there = self.mails.iter().filter(|mail| mail.on == ticket);
        there.map(|mail| mail.id).collect()
    }

    fn move_to(&mut self, ids: &[Uuid], from: Uuid, to: Uuid) {
        for mail in &mut self.mails {
            if mail.on == from && ids.contains(&mail.id) {
                mail.on = to;
            }
        }
    }
}

struct Play<'a> {
    api: &'a Api,
    dice: Dice,
    seed: u64,
    model: Model,
}

impl Play<'_> {
    fn any_ticket(&self) -> Option<Uuid> {
        let tickets = &self.model.tickets;
        (!tickets.is_empty()).then(|| tickets[self.dice.roll(tickets.len())])
    }

    async fn write(&mut self, answers: Option<usize>) {
        let world = &self.api.world;
        let name = format!("{}-{}@c.example", self.seed, self.model.mails.len());
        let message = if let Some(place) = answers {
            proven_mail(&name, &[self.model.mails[place].name.as_str()])
        } else {
            // Each is about an order of its own.
            let order = format!("order 9{}{:04}", self.seed, self.model.mails.len());
            saying(proven_mail(&name, &[]), &order, &order)
        };
        let filed = world.file(&message).await.unwrap().id;
        if let Some(place) = answers {
            let wanted = self.model.home(self.model.mails[place].leads);
            assert_eq!(filed, wanted, "an answer follows what it answers");
        } else {
            self.model.tickets.push(filed);
        }
        self.model.mails.push(Mail {
            name,
            id: Uuid::parse_str(&message.message_id).unwrap(),
            on: filed,
            leads: filed,
            session: None,
        });
    }

    /// A line in a new chat that names the number of an open ticket: it joins. Or the next line of a chat.
    async fn chat(&mut self, next: bool) {
        let world = &self.api.world;
        let name = format!("chat-{}-{}", self.seed, self.model.mails.len());
        let known: Vec<(String, Uuid)> = self.model.sessions.clone().into_iter().collect();
        let (session, line, wanted) = if next && !known.is_empty() {
            let (session, leads) = known[self.dice.roll(known.len())].clone();
            let line = saying(chat_of_aino(&name, &session, true), "", "and another thing");
            (session, line, self.model.home(leads))
        } else {
            let Some(ticket) = self.any_ticket().map(|it| self.model.home(it)) else {
                return;
            };
            world.set_status(ticket, "open").await;
            let text = format!("about ticket {}", world.ticket(ticket).await.number);
            (
                name.clone(),
                saying(chat_of_aino(&name, &name, true), "", &text),
                ticket,
            )
        };
        let filed = world.file(&line).await.unwrap().id;
        assert_eq!(
            filed, wanted,
            "seed {}: a chat goes where it is about",
            self.seed
        );
        self.model.sessions.entry(session.clone()).or_insert(filed);
        self.model.mails.push(Mail {
            name,
            id: Uuid::parse_str(&line.message_id).unwrap(),
            on: filed,
            leads: filed,
            session: Some(session),
        });
    }

    async fn merge(&mut self) {
        let (Some(source), Some(target)) = (self.any_ticket(), self.any_ticket()) else {
            return;
        };
        let before = (self.stand(source).await, self.stand(target).await);
        let result = merge(self.api, &[source], target).await;
        let part_of = |ticket: Uuid| self.model.merged.get(&ticket).map(|(target, _)| *target);
        if source == target {
            assert_eq!(reason(&result.unwrap_err()), "MERGE_WITH_ITSELF");
        } else if part_of(target).is_some() || part_of(source).is_some_and(|it| it != target) {
            assert_eq!(reason(&result.unwrap_err()), "TICKET_MERGED");
        } else {
            result.unwrap();
            if part_of(source).is_none() {
                let since = self.api.world.ticket(target).await.version;
                let stood = (before.0, before.1, since);
                self.model.stood.insert(source, stood);
                let moved = self.model.of(source);
                self.model.move_to(&moved, source, target);
                self.model.merged.insert(source, (target, moved));
                // Restricted wins, whichever side it is on.
                let secret = [source, target].map(|it| self.model.restricted.contains(&it));
                if secret.contains(&true) {
                    let family = self.model.family(target);
                    self.model.restricted.extend(family);
                }
            }
        }
    }

    async fn unmerge(&mut self) {
        let Some(ticket) = self.any_ticket() else {
            return;
        };
        let untouched = match (
            self.model.merged.get(&ticket),
            self.model.stood.get(&ticket),
        ) {
            (Some((target, _)), Some((.., since))) => {
                self.api.world.ticket(*target).await.version == *since
            }
            _ => false,
        };
        let result = unmerge(self.api, ticket).await;
        match self.model.merged.get(&ticket).cloned() {
            None => assert_eq!(reason(&result.unwrap_err()), "NOT_MERGED"),
            Some((target, _)) if self.model.merged.contains_key(&target) => {
                assert_eq!(reason(&result.unwrap_err()), "TICKET_MERGED");
            }
            Some((target, moved)) => {
                result.unwrap();
                let (source, other, _) = self.model.stood.remove(&ticket).unwrap();
                let place = format!("seed {}", self.seed);
                assert_eq!(self.stand(ticket).await, source, "{place}");
                if untouched {
                    assert_eq!(self.stand(target).await, other, "{place}");
                }
                self.model.move_to(&moved, target, ticket);
                self.model.merged.remove(&ticket);
            }
        }
    }

    async fn split(&mut self) {
        if self.model.mails.is_empty() {
            return;
        }
        let place = self.dice.roll(self.model.mails.len());
        let (id, on) = (self.model.mails[place].id, self.model.mails[place].on);
        // A line takes its conversation along where that joined; what joined stands on the ticket still.
        let moving: Vec<Uuid> = match self.joined(place).await {
            Some(session) => {
                let mails = self.model.mails.iter();
                let lines = mails.filter(|it| it.on == on && it.session.as_ref() == Some(&session));
                lines.map(|it| it.id).collect()
            }
            None => vec![id],
        };
        let result = split(self.api, id).await;
        if self.model.of(on).len() <= moving.len() {
            assert_eq!(reason(&result.unwrap_err()), "NOT_SPLITTABLE");
            return;
        }
        let new = Uuid::parse_str(&result.unwrap().id).unwrap();
        let whole = moving.len() > 1 || self.joined_before(id).await;
        for mail in &mut self.model.mails {
            if moving.contains(&mail.id) {
                (mail.on, mail.leads) = (new, new);
                // The way of a conversation moves where it led to this family.
                if let Some(session) = mail.session.as_ref().filter(|_| whole) {
                    self.model.sessions.insert(session.clone(), new);
                }
            }
        }
        self.model.tickets.push(new);
        if self.model.restricted.contains(&on) {
            self.model.restricted.insert(new);
        }
    }

    /// Restricts a ticket with all that is part of it, or ends that.
    async fn restrict(&mut self) {
        let Some(ticket) = self.any_ticket().map(|it| self.model.home(it)) else {
            return;
        };
        let ticket_id = ticket.to_string();
        let mut client = self.api.tickets();
        let family = self.model.family(ticket);
        if self.model.restricted.contains(&ticket) {
            let end = UnrestrictTicketRequest {
                ticket_id,
                reason: "it was nothing".to_owned(),
                ..UnrestrictTicketRequest::default()
            };
            client.unrestrict_ticket(self.api.admin(end)).await.unwrap();
            self.model.restricted.retain(|it| !family.contains(it));
        } else {
            let begin = RestrictTicketRequest {
                ticket_id,
                agent_ids: vec![AGENT.to_string()],
                reason: "a threat".to_owned(),
                ..RestrictTicketRequest::default()
            };
            client.restrict_ticket(self.api.admin(begin)).await.unwrap();
            self.model.restricted.extend(family);
        }
    }

    /// A ticket sleeps for an hour, or until its customer writes.
    async fn sleep(&mut self) {
        let Some(ticket) = self.any_ticket().map(|it| self.model.home(it)) else {
            return;
        };
        let at = self.api.world.harness.clock.now();
        let hour = jiff::SignedDuration::from_hours(1);
        let until = solmu_bus::envelope::to_proto_time(at + hour);
        let request = SnoozeTicketRequest {
            ticket_id: ticket.to_string(),
            until_time: (self.dice.roll(2) == 0).then_some(until),
            ..SnoozeTicketRequest::default()
        };
        let call = self.api.agent(request);
        self.api.work().snooze_ticket(call).await.unwrap();
    }

    async fn stand(&self, ticket: Uuid) -> Stand {
        sqlx::query_as(
            "SELECT status, substatus, snoozed, wake_at::text, close_at::text, resolved_at::text
             FROM tickets.ticket WHERE id = $1",
        )
        .bind(ticket)
        .fetch_one(self.api.world.pool())
        .await
        .unwrap()
    }

    /// Somebody resolves a ticket, and opens it again.
    async fn reopen(&mut self) {
        let Some(ticket) = self.any_ticket().map(|it| self.model.home(it)) else {
            return;
        };
        for status in [TicketStatus::Resolved, TicketStatus::Open] {
            let request = SetStatusRequest {
                ticket_id: ticket.to_string(),
                status: status.into(),
                ..SetStatusRequest::default()
            };
            let call = self.api.agent(request);
            self.api.tickets().set_status(call).await.unwrap();
        }
    }

    /// The conversation of a line whose first line joined the ticket that it is on.
    async fn joined(&self, place: usize) -> Option<String> {
        let mail = &self.model.mails[place];
        let session = mail.session.clone()?;
        let joined: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM tickets.matter JOIN tickets.message ON message.id = matter.message_id
             WHERE message.ticket_id = $1 AND matter.state = 1 AND matter.address = $2)",
        )
        .bind(mail.on)
        .bind(&session)
        .fetch_one(self.api.world.pool())
        .await
        .unwrap();
        joined.then_some(session)
    }

    /// Whether the message is one that joined and was split out since.
    async fn joined_before(&self, message: Uuid) -> bool {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM tickets.matter WHERE message_id = $1 AND state = 5)",
        )
        .bind(message)
        .fetch_one(self.api.world.pool())
        .await
        .unwrap()
    }

    async fn step(&mut self) {
        let all = self.model.mails.iter().enumerate();
        let answerable = all.filter(|(_, mail)| mail.session.is_none());
        let answerable: Vec<usize> = answerable.map(|(place, _)| place).collect();
        match self.dice.roll(18) {
            0 | 1 => self.write(None).await,
            10 | 11 => self.chat(false).await,
            12 | 13 => self.chat(true).await,
            2..=4 if !answerable.is_empty() => {
                let place = answerable[self.dice.roll(answerable.len())];
                // Half of them reopen what was resolved.
                let leads = self.model.home(self.model.mails[place].leads);
                if self.dice.roll(2) == 0 {
                    self.api.world.set_status(leads, "resolved").await;
                }
                self.write(Some(place)).await;
                assert_ne!(self.api.world.ticket(leads).await.status, "resolved");
            }
            5 | 6 => self.merge().await,
            7 | 8 => self.unmerge().await,
            9 => self.split().await,
            14 | 15 => self.restrict().await,
            16 => self.reopen().await,
            _ => self.sleep().await,
        }
    }

    async fn compare(&self, step: usize) {
        let world = &self.api.world;
        for mail in &self.model.mails {
            let on: Uuid =
                sqlx::query_scalar("SELECT ticket_id FROM tickets.message WHERE id = $1")
                    .bind(mail.id)
                    .fetch_one(world.pool())
                    .await
                    .unwrap();
            assert_eq!(
                on, mail.on,
                "seed {}, step {step}: {}",
                self.seed, mail.name
            );
        }
        let wrong = "SELECT count(*) FROM tickets.ticket WHERE message_count - moved_away <>
            (SELECT count(*) FROM tickets.message WHERE ticket_id = ticket.id)
            OR (merged_into IS NULL) <> (status <> 'closed')";
        assert_eq!(
            world.count(wrong).await,
            0,
            "seed {}, step {step}",
            self.seed
        );
        // What the ticket says and what every other service is told are one, and as the model says.
        let secret: Vec<(Uuid, bool)> = sqlx::query_as(
            "SELECT id, restriction.ticket_id IS NOT NULL FROM tickets.ticket
             LEFT JOIN access.restriction ON restriction.ticket_id = ticket.id
             WHERE restricted_to IS NOT NULL OR restriction.ticket_id IS NOT NULL ORDER BY id",
        )
        .fetch_all(world.pool())
        .await
        .unwrap();
        let ours = secret
            .iter()
            .filter(|(id, _)| self.model.tickets.contains(id));
        let wanted: Vec<(Uuid, bool)> =
            self.model.restricted.iter().map(|id| (*id, true)).collect();
        assert_eq!(
            ours.copied().collect::<Vec<_>>(),
            wanted,
            "seed {}, step {step}",
            self.seed
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_merges_splits_and_mails_do_what_the_model_says() {
    // Nobody has so many open tickets; here all of them are one person's.
    let all_tickets = Config {
        matter: Matter {
            max_tickets: 10_000,
            ..Matter::default()
        },
        ..Config::default()
    };
    let api = Api::configured(all_tickets).await;
    for seed in 0..4 {
        let mut play = Play {
            api: &api,
            dice: Dice(SeededRng::new(seed)),
            seed,
            model: Model::default(),
        };
        for step in 0..STEPS {
            play.step().await;
            play.compare(step).await;
        }
    }
}
