//! Random merges, unmerges, splits, reopenings and mails, beside a simple model of what should come of them.

use std::collections::BTreeMap;

use solmu_domain::rng::SeededRng;
use uuid::Uuid;

use crate::{
    api_world::{Api, reason},
    merges::{merge, split, unmerge},
    siblings::Dice,
    support::{answer, mail},
};

const AINO: &str = "aino@c.example";
const STEPS: usize = 30;

/// A mail: its id, the ticket that it is on, and the one to which its id leads.
struct Mail {
    name: String,
    id: Uuid,
    on: Uuid,
    leads: Uuid,
}

/// What should be true.
#[derive(Default)]
struct Model {
    mails: Vec<Mail>,
    tickets: Vec<Uuid>,
    /// What each ticket is part of, and the mails that moved there with it.
    merged: BTreeMap<Uuid, (Uuid, Vec<Uuid>)>,
}

impl Model {
    fn home(&self, ticket: Uuid) -> Uuid {
        let next = self.merged.get(&ticket);
        next.map_or(ticket, |(target, _)| self.home(*target))
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
        let message = match answers {
            Some(place) => answer(&name, AINO, &[self.model.mails[place].name.as_str()]),
            None => mail(&name, AINO),
        };
        let filed = world.file(&message).await.unwrap().id;
        match answers {
            Some(place) => {
                let wanted = self.model.home(self.model.mails[place].leads);
                assert_eq!(filed, wanted, "an answer follows what it answers");
            }
            None => self.model.tickets.push(filed),
        }
        self.model.mails.push(Mail {
            name,
            id: Uuid::parse_str(&message.message_id).unwrap(),
            on: filed,
            leads: filed,
        });
    }

    async fn merge(&mut self) {
        let (Some(source), Some(target)) = (self.any_ticket(), self.any_ticket()) else {
            return;
        };
        let result = merge(self.api, &[source], target).await;
        let part_of = |ticket: Uuid| self.model.merged.get(&ticket).map(|(target, _)| *target);
        if source == target {
            assert_eq!(reason(&result.unwrap_err()), "MERGE_WITH_ITSELF");
        } else if part_of(target).is_some() || part_of(source).is_some_and(|it| it != target) {
            assert_eq!(reason(&result.unwrap_err()), "TICKET_MERGED");
        } else {
            result.unwrap();
            if part_of(source).is_none() {
                let moved = self.model.of(source);
                self.model.move_to(&moved, source, target);
                self.model.merged.insert(source, (target, moved));
            }
        }
    }

    async fn unmerge(&mut self) {
        let Some(ticket) = self.any_ticket() else {
            return;
        };
        let result = unmerge(self.api, ticket).await;
        match self.model.merged.get(&ticket).cloned() {
            None => assert_eq!(reason(&result.unwrap_err()), "NOT_MERGED"),
            Some((target, _)) if self.model.merged.contains_key(&target) => {
                assert_eq!(reason(&result.unwrap_err()), "TICKET_MERGED");
            }
            Some((target, moved)) => {
                result.unwrap();
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
        let result = split(self.api, id).await;
        if self.model.of(on).len() < 2 {
            assert_eq!(reason(&result.unwrap_err()), "NOT_SPLITTABLE");
            return;
        }
        let new = Uuid::parse_str(&result.unwrap().id).unwrap();
        let mail = &mut self.model.mails[place];
        (mail.on, mail.leads) = (new, new);
        self.model.tickets.push(new);
    }

    async fn step(&mut self) {
        let mails = self.model.mails.len();
        match self.dice.roll(10) {
            0 | 1 => self.write(None).await,
            2..=4 if mails > 0 => {
                let place = self.dice.roll(mails);
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
            _ => {}
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
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_merges_splits_and_mails_do_what_the_model_says() {
    let api = Api::new().await;
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
