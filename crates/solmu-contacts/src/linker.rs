//! Merges contacts that the resolver sees as one person, and takes such merges back when the evidence has changed.
//!
//! A reconciler: it looks at senders that are new, at everything that has to do with them, and makes the merges what
//! they should be by all that is known now. Which message came first does not matter to the outcome, only to who stands
//! for both. What a person merged or took apart by hand is never touched.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use solmu_db::{SqlTimestamp, ToSqlx as _, outbox, outbox::Owner};
use solmu_domain::{contact::Assurance, ids::new_uuid};
use solmu_identity::{Limits, Link, Resolution, resolve};
use solmu_proto::types::v1::{Actor, actor::Kind};
use solmu_runtime::events::EventSink;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    ContactError, actor,
    context::Context,
    graph::{self, Edge, Joining},
    neighbours::{self, Neighbours},
    suggestions,
};

/// How long a new sender waits to be looked at, at most.
const ROUND: Duration = Duration::from_millis(500);
/// Senders that are looked at together.
const BATCH: i64 = 50;

/// Runs until `stop`.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken) {
    loop {
        match round(&context).await {
            Ok(looked) if looked == usize::try_from(BATCH).unwrap_or(0) && !stop.is_cancelled() => {
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot look for contacts that are one person; trying again"
            ),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

/// Looks at the new senders; returns how many.
async fn round(context: &Arc<Context>) -> Result<usize, ContactError> {
    // Most rounds find nothing: they take no lock and no transaction.
    let waits: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tickets.sighting WHERE pending)")
            .fetch_one(context.db.pool())
            .await?;
    if !waits {
        return Ok(0);
    }
    let looked = context
        .db
        .tx("contact.link", |tx| {
            let context = context.clone();
            Box::pin(async move { link_in(tx, &context).await })
        })
        .await?;
    Ok(looked)
}

async fn link_in(tx: &mut PgConnection, context: &Context) -> Result<usize, ContactError> {
    if !graph::try_lock(tx).await? {
        return Ok(0);
    }
    let now = context.clock.now();
    let mut seeds: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM tickets.sighting WHERE pending ORDER BY seen_at, id LIMIT $1",
    )
    .bind(BATCH)
    .fetch_all(&mut *tx)
    .await?;
    let found = seeds.len();
    let mut around = neighbours::around(tx, &seeds).await?;
    // One crowded sender must not hide what the others have in common: it is looked at alone.
    while !around.complete && seeds.len() > 1 {
        seeds.truncate(seeds.len() / 2);
        around = neighbours::around(tx, &seeds).await?;
    }
    let resolution = resolve(&around.sightings, &Limits::default());
    let mut events = context.events(now);
    let mut linking = Linking::load(tx, &around, &resolution).await?;
    linking.take_back(tx, &mut events, now).await?;
    linking.merge(tx, context, &mut events, now).await?;
    suggestions::write(tx, &around, &resolution, now).await?;
    sqlx::query("UPDATE tickets.sighting SET pending = false WHERE id = ANY($1)")
        .bind(&seeds)
        .execute(&mut *tx)
        .await?;
    outbox::add(tx, Owner::Tickets, events.rows(), now).await?;
    Ok(found)
}

/// The resolver, as whom merges are made.
fn resolver() -> Actor {
    actor(Kind::Service, "contacts")
}

/// What the resolver wants, beside what there is.
struct Linking<'a> {
    around: &'a Neighbours,
    /// Links between two contacts, each standing on what the contacts themselves are.
    links: Vec<&'a Link>,
    /// Who is older stands for both.
    created: BTreeMap<Uuid, Timestamp>,
    edges: Vec<Edge>,
}

impl<'a> Linking<'a> {
    async fn load(
        tx: &mut PgConnection,
        around: &'a Neighbours,
        resolution: &'a Resolution,
    ) -> Result<Self, ContactError> {
        let main = main_groups(around, resolution);
        let contact = |position: usize| around.contacts[position];
        let is_main =
            |position: usize| main.get(&contact(position)) == Some(&resolution.profile[position]);
        let links = resolution
            .links
            .iter()
            .filter(|link| contact(link.a) != contact(link.b) && is_main(link.a) && is_main(link.b))
            .collect();
        let ids: Vec<Uuid> = main.into_keys().collect();
        let rows: Vec<(Uuid, SqlTimestamp)> = sqlx::query_as(
            "SELECT id, created_at FROM tickets.contact WHERE id = ANY($1) AND erased_at IS NULL",
        )
        .bind(&ids)
        .fetch_all(&mut *tx)
        .await?;
        Ok(Self {
            around,
            links,
            created: rows
                .into_iter()
                .map(|(id, at)| (id, at.to_jiff()))
                .collect(),
            edges: graph::edges(tx, &ids).await?,
        })
    }

    /// Takes merges of the resolver back that it would not make now.
    async fn take_back(
        &mut self,
        tx: &mut PgConnection,
        events: &mut EventSink<'_>,
        now: Timestamp,
    ) -> Result<(), ContactError> {
        if !self.around.complete {
            return Ok(());
        }
        let wanted = self.wanted();
        let (kept, gone): (Vec<Edge>, Vec<Edge>) = std::mem::take(&mut self.edges)
            .into_iter()
            .partition(|edge| {
                edge.rule == graph::BY_HAND
                    || wanted.get(&edge.winner_id) == wanted.get(&edge.loser_id)
            });
        self.edges = kept;
        for edge in gone {
            graph::unmerge(
                tx,
                edge.id,
                &resolver(),
                "the evidence has changed",
                events,
                now,
            )
            .await?;
        }
        Ok(())
    }

    /// Who would be one person by links and by hand: contacts with the same number are.
    fn wanted(&self) -> BTreeMap<Uuid, usize> {
        let mut group: BTreeMap<Uuid, usize> = self
            .created
            .keys()
            .enumerate()
            .map(|(number, id)| (*id, number))
            .collect();
        let links = self
            .links
            .iter()
            .map(|link| (self.around.contacts[link.a], self.around.contacts[link.b]));
        let by_hand = self
            .edges
            .iter()
            .filter(|edge| edge.rule == graph::BY_HAND)
            .map(|edge| (edge.winner_id, edge.loser_id));
        for (a, b) in links.chain(by_hand) {
            let (Some(&a), Some(&b)) = (group.get(&a), group.get(&b)) else {
                continue;
            };
            for number in group.values_mut().filter(|number| **number == b) {
                *number = a;
            }
        }
        group
    }

    /// Merges what the resolver sees as one and nobody said is two.
    async fn merge(
        &self,
        tx: &mut PgConnection,
        context: &Context,
        events: &mut EventSink<'_>,
        now: Timestamp,
    ) -> Result<(), ContactError> {
        for link in &self.links {
            let (a, b) = (self.around.contacts[link.a], self.around.contacts[link.b]);
            let (Some(at_a), Some(at_b)) = (self.created.get(&a), self.created.get(&b)) else {
                continue;
            };
            let (winner, loser) = if (at_a, a) <= (at_b, b) {
                (a, b)
            } else {
                (b, a)
            };
            if !may_join(tx, winner, loser).await? {
                continue;
            }
            let joining = Joining {
                id: new_uuid(context.clock.as_ref(), context.rng.as_ref()),
                winner,
                loser,
                rule: link.rule.code().to_owned(),
                evidence: format!("{} {}", link.kind.name(), link.value),
                actor: resolver(),
                reason: String::new(),
                request_id: None,
            };
            match graph::merge(tx, &joining, events, now).await {
                Ok(_) | Err(ContactError::TooLarge(_) | ContactError::Erased(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether two contacts are not one person yet, and nobody said that somebody of one side and of the other are two.
async fn may_join(tx: &mut PgConnection, a: Uuid, b: Uuid) -> Result<bool, ContactError> {
    let roots = graph::roots(tx, &[a, b]).await?;
    let root = |id: Uuid| roots.get(&id).copied().unwrap_or(id);
    if root(a) == root(b) {
        return Ok(false);
    }
    let (ours, theirs) = (
        graph::members(tx, &[root(a)]).await?,
        graph::members(tx, &[root(b)]).await?,
    );
    let apart: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tickets.contact_apart
            WHERE (first_id = ANY($1) AND second_id = ANY($2)) OR (first_id = ANY($2) AND second_id = ANY($1)))",
    )
    .bind(&ours)
    .bind(&theirs)
    .fetch_one(tx)
    .await?;
    Ok(!apart)
}

/// The person that each contact is: that of its first sighting with proof, else of its first. Who typed the address of a
/// contact is filed there for agents to see, but is not them, and what joins the typist does not join the contact.
pub(crate) fn main_groups(around: &Neighbours, resolution: &Resolution) -> BTreeMap<Uuid, usize> {
    let mut first: BTreeMap<Uuid, ((bool, i64, &str), usize)> = BTreeMap::new();
    for (position, sighting) in around.sightings.iter().enumerate() {
        let proven = sighting
            .evidence
            .iter()
            .any(|it| it.assurance == Assurance::Proven);
        let order = (!proven, sighting.at, sighting.id.as_str());
        let this = (order, resolution.profile[position]);
        let known = first.entry(around.contacts[position]).or_insert(this);
        if this.0 < known.0 {
            *known = this;
        }
    }
    first
        .into_iter()
        .map(|(contact, (_, group))| (contact, group))
        .collect()
}

/// Has contacts looked at again: what was said of them by hand has changed.
pub(crate) async fn look_again(
    tx: &mut PgConnection,
    contacts: &[Uuid],
    now: Timestamp,
) -> Result<(), ContactError> {
    sqlx::query(
        "UPDATE tickets.sighting SET pending = true WHERE contact_id = ANY($1) AND NOT pending AND seen_at <= $2",
    )
    .bind(contacts)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}
