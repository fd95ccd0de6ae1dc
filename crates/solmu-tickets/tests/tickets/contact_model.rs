//! Random merges of contacts, unmerges and messages beside a simple model: the merges that hold, and who stands for whom
//! worked out from nothing each time. A sequence that goes wrong is made shorter until nothing can be left out;
//! `SOLMU_SEED` and `PROPTEST_CASES` as in `merge_model`.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use jiff::SignedDuration;
use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestError, TestRunner},
};
use solmu_proto::contact::v1::ListEncountersRequest;
use uuid::Uuid;

use crate::{
    api_world::{Api, reason},
    contact_merges::{get, merge, merges, unmerge},
    merge_model::config,
    support::mail,
};

/// Sequences of a run.
const CASES: u32 = 16;
/// Steps of the longest one.
const STEPS: usize = 26;

/// A step. Numbers count people or merges round and round.
#[derive(Debug, Clone, Copy)]
enum Op {
    /// Somebody new writes.
    Person,
    /// Somebody known writes again: to themselves, whoever stands for them.
    Writes(u8),
    Merge(u8, u8),
    Unmerge(u8),
    /// A merge is taken back that was taken back already.
    Again(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let any = 0_u8..24;
    prop_oneof![
        2 => Just(Op::Person),
        2 => any.clone().prop_map(Op::Writes),
        5 => (any.clone(), any.clone()).prop_map(|(a, b)| Op::Merge(a, b)),
        4 => any.clone().prop_map(Op::Unmerge),
        1 => any.prop_map(Op::Again),
    ]
}

/// Merges that hold, in order, and where each ticket belongs.
#[derive(Default)]
struct Model {
    contacts: Vec<Uuid>,
    merges: Vec<(String, Uuid, Uuid)>,
    /// Those that were taken back.
    over: Vec<String>,
    tickets: BTreeMap<Uuid, Uuid>,
}

impl Model {
    /// Who stands for each contact: sets that grow, each with its first.
    fn roots(&self) -> BTreeMap<Uuid, Uuid> {
        let mut sets: Vec<Vec<Uuid>> = self.contacts.iter().map(|id| vec![*id]).collect();
        for (_, winner, loser) in &self.merges {
            let of = |sets: &[Vec<Uuid>], id: &Uuid| {
                sets.iter().position(|set| set.contains(id)).unwrap()
            };
            let from = of(&sets, loser);
            let lost = sets.remove(from);
            let into = of(&sets, winner);
            sets[into].extend(lost);
        }
        let pairs = sets
            .iter()
            .flat_map(|set| set.iter().map(|id| (*id, set[0])));
        pairs.collect()
    }

    fn pick(&self, place: u8) -> Option<Uuid> {
        let place = usize::from(place).checked_rem(self.contacts.len())?;
        Some(self.contacts[place])
    }
}

/// One sequence, with people of its own.
struct Play<'a> {
    api: &'a Api,
    run: usize,
    mails: usize,
    model: Model,
}

impl Play<'_> {
    async fn write(&mut self, who: usize) -> Result<(), String> {
        let run = self.run;
        let address = format!("p{who}@run{run}-{who}.example");
        let name = format!("{run}-{}@x.example", self.mails);
        self.mails += 1;
        let ticket = self.api.world.file(&mail(&name, &address)).await;
        let ticket = ticket.ok_or("the mail has no ticket")?;
        match self.model.contacts.get(who) {
            None => self.model.contacts.push(ticket.contact_id),
            Some(known) if *known != ticket.contact_id => {
                return Err(format!("a mail of {who} is with somebody else"));
            }
            Some(_) => {}
        }
        self.model.tickets.insert(ticket.id, ticket.contact_id);
        Ok(())
    }

    async fn merge(&mut self, a: Uuid, b: Uuid) -> Result<(), String> {
        let roots = self.model.roots();
        match merge(self.api, a, b).await {
            Err(status) if a == b => {
                let why = reason(&status);
                (why == "MERGE_WITH_ITSELF" || status.code() == tonic::Code::InvalidArgument)
                    .then_some(())
                    .ok_or_else(|| format!("with itself: {status:?}"))
            }
            Ok(_) if a == b => Err("somebody was merged with themselves".to_owned()),
            Err(status) => Err(format!("a merge: {status:?}")),
            Ok(shown) => {
                if roots[&a] != roots[&b] {
                    let made = merges(self.api, a).await.remove(0);
                    self.model.merges.push((made.id, a, b));
                }
                let root = self.model.roots()[&a].to_string();
                (shown.id == root)
                    .then_some(())
                    .ok_or_else(|| format!("{} instead of {root} stands for both", shown.id))
            }
        }
    }

    async fn unmerge(&mut self, place: u8) -> Result<(), String> {
        let Some(place) = usize::from(place).checked_rem(self.model.merges.len()) else {
            return Ok(());
        };
        let (id, winner, loser) = self.model.merges.remove(place);
        let sides = unmerge(self.api, &id).await;
        let (one, other) = sides.map_err(|status| format!("an unmerge: {status:?}"))?;
        self.model.over.push(id);
        let roots = self.model.roots();
        let wanted = (roots[&winner].to_string(), roots[&loser].to_string());
        if (&one.id, &other.id) == (&wanted.0, &wanted.1) {
            Ok(())
        } else {
            Err(format!(
                "the sides are {:?} instead of {wanted:?}",
                (one.id, other.id)
            ))
        }
    }

    async fn again(&mut self, place: u8) -> Result<(), String> {
        let Some(place) = usize::from(place).checked_rem(self.model.over.len()) else {
            return Ok(());
        };
        match unmerge(self.api, &self.model.over[place]).await {
            Err(status) if status.code() != tonic::Code::Internal => Ok(()),
            other => Err(format!("a second unmerge: {other:?}")),
        }
    }

    async fn step(&mut self, op: Op) -> Result<(), String> {
        // So that no two merges have the same time.
        let clock = &self.api.world.harness.clock;
        clock.advance(SignedDuration::from_millis(1));
        let known = self.model.contacts.len();
        match op {
            Op::Person => self.write(known).await,
            Op::Writes(who) => match usize::from(who).checked_rem(known) {
                Some(who) => self.write(who).await,
                None => Ok(()),
            },
            Op::Merge(a, b) => match (self.model.pick(a), self.model.pick(b)) {
                (Some(a), Some(b)) => self.merge(a, b).await,
                _ => Ok(()),
            },
            Op::Unmerge(place) => self.unmerge(place).await,
            Op::Again(place) => self.again(place).await,
        }
    }

    /// Who stands for whom, and whose each ticket and message is.
    async fn compare(&self) -> Result<(), String> {
        let stored: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "SELECT id, coalesce(root_id, id) FROM tickets.contact WHERE id = ANY($1)",
        )
        .bind(&self.model.contacts)
        .fetch_all(self.api.world.pool())
        .await
        .unwrap();
        let stored: BTreeMap<Uuid, Uuid> = stored.into_iter().collect();
        differing("who stands for whom", &stored, &self.model.roots())?;
        let ids: Vec<Uuid> = self.model.tickets.keys().copied().collect();
        let owners: Vec<(Uuid, Uuid, String)> = sqlx::query_as(
            "SELECT ticket.id, contact_id, author_id FROM tickets.ticket JOIN tickets.message
             ON message.ticket_id = ticket.id WHERE ticket.id = ANY($1)",
        )
        .bind(&ids)
        .fetch_all(self.api.world.pool())
        .await
        .unwrap();
        let astray = owners
            .iter()
            .find(|(_, owner, author)| owner.to_string() != *author);
        if let Some((ticket, ..)) = astray {
            return Err(format!("the message of ticket {ticket} is somebody else's"));
        }
        let owners = owners.into_iter().map(|(id, owner, _)| (id, owner));
        differing(
            "a merge moved a ticket",
            &owners.collect(),
            &self.model.tickets,
        )
    }

    /// Every member of a set shows one person with the tickets of all; alone again, each has their own.
    async fn compare_people(&mut self) -> Result<(), String> {
        self.compare_shown().await?;
        while !self.model.merges.is_empty() {
            self.unmerge(0).await?;
        }
        self.compare().await?;
        self.compare_shown().await
    }

    async fn compare_shown(&self) -> Result<(), String> {
        let roots = self.model.roots();
        for contact in &self.model.contacts {
            let root = roots[contact];
            let shown = get(self.api, contact).await;
            if shown.id != root.to_string() {
                return Err(format!("{} is shown for {contact}, not {root}", shown.id));
            }
            let request = ListEncountersRequest {
                contact_id: contact.to_string(),
                page_size: 100,
                ..ListEncountersRequest::default()
            };
            let call = self.api.agent(request);
            let listed = self.api.contacts().list_encounters(call).await;
            let listed = listed.map_err(|status| status.to_string())?.into_inner();
            let owners = self.model.tickets.values();
            let wanted = owners.filter(|owner| roots[owner] == root).count();
            if listed.encounters.len() != wanted
                || usize::try_from(shown.ticket_count) != Ok(wanted)
            {
                let found = (listed.encounters.len(), shown.ticket_count);
                return Err(format!(
                    "{contact} has {found:?} tickets instead of {wanted}"
                ));
            }
        }
        Ok(())
    }
}

/// The first entry in which the two differ.
fn differing(
    what: &str,
    stored: &BTreeMap<Uuid, Uuid>,
    wanted: &BTreeMap<Uuid, Uuid>,
) -> Result<(), String> {
    let keys = stored.keys().chain(wanted.keys());
    let mut wrong = keys.filter(|id| stored.get(id) != wanted.get(id));
    wrong.next().map_or(Ok(()), |id| {
        let (is, should) = (stored.get(id), wanted.get(id));
        Err(format!("{what}: {id} has {is:?} instead of {should:?}"))
    })
}

async fn play(api: &Api, ops: &[Op]) -> Result<(), String> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let mut play = Play {
        api,
        run: RUNS.fetch_add(1, Ordering::Relaxed),
        mails: 0,
        model: Model::default(),
    };
    for (place, op) in ops.iter().enumerate() {
        let at = |what: String| format!("step {place}: {what}");
        play.step(*op).await.map_err(at)?;
        play.compare().await.map_err(at)?;
    }
    play.compare_people().await
}

#[test]
fn any_sequence_of_merges_is_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let api = runtime.block_on(Api::new());
    // Three people, who are merged and taken apart.
    let sequence = prop::collection::vec(op(), 1..STEPS);
    let outcome = TestRunner::new(config(CASES)).run(&sequence, |ops| {
        let ops: Vec<Op> = [Op::Person; 3].into_iter().chain(ops).collect();
        let done = runtime.block_on(play(&api, &ops));
        done.map_err(TestCaseError::fail)
    });
    runtime.block_on(async { drop(api) });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, shortest)) => panic!("{shortest:?}: {why}"),
        Err(other) => panic!("{other}"),
    }
}
