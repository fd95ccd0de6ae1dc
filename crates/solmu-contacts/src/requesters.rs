//! Whether two senders are the same requester: what one wrote may be shown to the other.
//!
//! Agents see as one person whoever fits by name and address; that a stranger typed somebody's address is enough for it.
//! This is the other question. It is answered by the ACCESS graph of `solmu-identity`, over all that was ever said of
//! everybody around the two: only what both sides proved joins them. An agent who merges two contacts by hand joins their
//! requesters, too, but only where each contact is one proven requester: of a contact to which somebody else talked
//! himself in, nobody knows whom the agent meant.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::contact::Assurance;
use solmu_identity::{Kind, Limits, Region, Sighting, normalise, resolve};
use solmu_proto::{inbound::v1::Sender, types::v1::actor};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    filing::{self, NewContact},
    graph::{self, BY_HAND, Edge},
    neighbours::{self, Neighbours},
    resolve::without_failed,
    sighting::{NewSighting, evidence},
    small,
};

/// Sightings that one value may have, as in the resolver.
const MAX_PER_VALUE: i64 = 100;
/// How long the last time that somebody vouched for an identity may be wrong: not every look is a write.
const ATTESTED_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// What one requester is in the ACCESS graph.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The sightings that are of them.
    pub sightings: BTreeSet<Uuid>,
    /// Contacts whose only proven requester they are: who means such a contact means them.
    pub sole: BTreeSet<Uuid>,
    /// The contacts of all of these.
    pub contacts: BTreeSet<Uuid>,
    /// Too much has to do with them to say what is theirs: they reach nothing.
    pub crowded: bool,
}

/// What `sender`, who proves what they name, reaches: everything that they and nobody else wrote. Nothing for somebody
/// who is not known, who proves nothing, and of whom too many know something.
pub async fn reached(
    tx: &mut PgConnection,
    sender: &Sender,
    now: Timestamp,
) -> Result<Reached, DbError> {
    let Some(newcomer) = newcomer(sender, now) else {
        return Ok(Reached::default());
    };
    let seeds = sharing(tx, &newcomer).await?;
    if seeds.is_empty() {
        return Ok(Reached::default());
    }
    let mut around = neighbours::around(tx, &seeds).await?;
    if !around.complete {
        return Ok(Reached {
            crowded: true,
            ..Reached::default()
        });
    }
    let last = last_seen(tx, &around).await?;
    note_last_seen(&mut around, &last);
    let edges = by_hand(tx, &around).await?;
    Ok(of_newcomer(around, newcomer, &edges))
}

/// When sightings were seen last, where that decides anything: only numbers are given to others.
async fn last_seen(
    tx: &mut PgConnection,
    around: &Neighbours,
) -> Result<BTreeMap<Uuid, Timestamp>, DbError> {
    let numbers = around.sightings.iter().zip(&around.contacts);
    let numbers = numbers.filter(|(it, _)| is_proven(it, |kind| kind == Kind::Phone));
    let (ids, contacts): (Vec<Uuid>, Vec<String>) = numbers
        .filter_map(|(it, contact)| Some((Uuid::parse_str(&it.id).ok()?, contact.to_string())))
        .unzip();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(Uuid, SqlTimestamp)> = sqlx::query_as(
        "SELECT sighting_id, max(created_at) FROM tickets.message
         WHERE author_kind = $3 AND author_id = ANY($2) AND sighting_id = ANY($1) GROUP BY sighting_id",
    )
    .bind(ids)
    .bind(contacts)
    .bind(small(actor::Kind::Customer.into()))
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, at)| (id, at.to_jiff()))
        .collect())
}

/// The contact of `sender`, made if nobody knows them, and what they said of themselves as it is kept: for what they
/// do without writing a message. [`DbError::Race`] as in [`filing::write`].
pub async fn enrol(
    tx: &mut PgConnection,
    sender: &Sender,
    (fresh, language): (Uuid, &str),
    now: Timestamp,
) -> Result<(Uuid, Option<Uuid>), DbError> {
    let mut known = filing::load(tx, filing::keys_of(sender)).await?;
    let resolved = known.resolve(sender, fresh);
    let new = resolved.is_new.then(|| NewContact {
        id: fresh,
        name: sender.display_name.trim().to_owned(),
        language: language.to_owned(),
    });
    filing::write(tx, new.as_slice(), &resolved.writes, &known, now).await?;
    Ok((resolved.contact_id, resolved.sighting))
}

/// Notes on the proven identities of `sender` that are known that `by` vouched for them, and how.
pub async fn attest(
    tx: &mut PgConnection,
    sender: &Sender,
    (by, method): (&str, &str),
    now: Timestamp,
) -> Result<(), DbError> {
    for identity in &sender.identities {
        let proven = Assurance::from_code(small(identity.assurance)) == Assurance::Proven;
        let Some((kind, scope, value)) =
            filing::key_of(&sender.display_name, identity).filter(|_| proven)
        else {
            continue;
        };
        sqlx::query(
            "INSERT INTO tickets.identity_attestation AS known (kind, scope, value, attested_by, method, first_at, last_at)
             SELECT kind, scope, value, $4, $5, $6, $6 FROM tickets.identity
             WHERE kind = $1 AND scope = $2 AND value = $3
             ON CONFLICT (kind, scope, value, attested_by) DO UPDATE SET method = excluded.method, last_at = excluded.last_at
                WHERE known.last_at <= $7 OR known.method <> excluded.method",
        )
        .bind(kind)
        .bind(scope)
        .bind(value)
        .bind(by)
        .bind(method)
        .bind(now.to_sqlx())
        .bind(now.saturating_sub(ATTESTED_EVERY).unwrap_or(Timestamp::MIN).to_sqlx())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Which of `others`, sightings with when they were seen last, are of the requester who writes as `sender` now.
pub async fn same(
    tx: &mut PgConnection,
    sender: &Sender,
    others: &BTreeMap<Uuid, Timestamp>,
    now: Timestamp,
) -> Result<BTreeSet<Uuid>, DbError> {
    let Some(newcomer) = newcomer(sender, now).filter(|_| !others.is_empty()) else {
        return Ok(BTreeSet::new());
    };
    let mut seeds: BTreeSet<Uuid> = others.keys().copied().collect();
    seeds.extend(sharing(tx, &newcomer).await?);
    let seeds: Vec<Uuid> = seeds.into_iter().collect();
    let mut around = neighbours::around(tx, &seeds).await?;
    // Where something was left out nobody knows what it would have said.
    if !around.complete {
        return Ok(BTreeSet::new());
    }
    note_last_seen(&mut around, others);
    let edges = by_hand(tx, &around).await?;
    Ok(of_newcomer(around, newcomer, &edges)
        .sightings
        .into_iter()
        .filter(|id| others.contains_key(id))
        .collect())
}

fn note_last_seen(around: &mut Neighbours, last: &BTreeMap<Uuid, Timestamp>) {
    for known in &mut around.sightings {
        let last = Uuid::parse_str(&known.id).ok().and_then(|id| last.get(&id));
        known.at = known.at.max(last.map_or(known.at, |at| at.as_second()));
    }
}

/// The merges among those around that people made.
async fn by_hand(tx: &mut PgConnection, around: &Neighbours) -> Result<Vec<Edge>, DbError> {
    let contacts: BTreeSet<Uuid> = around.contacts.iter().copied().collect();
    let contacts: Vec<Uuid> = contacts.into_iter().collect();
    let mut edges = graph::edges(tx, &contacts).await?;
    edges.retain(|edge| edge.rule == BY_HAND);
    Ok(edges)
}

/// The sender as a sighting; `None` if they prove nothing.
fn newcomer(sender: &Sender, now: Timestamp) -> Option<Sighting> {
    let seen = NewSighting::of(&without_failed(sender), Uuid::nil())?;
    let newcomer = Sighting {
        id: String::new(),
        at: now.as_second(),
        name: sender.display_name.trim().to_owned(),
        evidence: evidence(seen.into_evidence()),
    };
    is_proven(&newcomer, |_| true).then_some(newcomer)
}

fn is_proven(sighting: &Sighting, counts: impl Fn(Kind) -> bool) -> bool {
    let mut all = sighting.evidence.iter();
    all.any(|it| it.assurance == Assurance::Proven && counts(it.kind))
}

/// Stored sightings that share a value with the newcomer.
async fn sharing(tx: &mut PgConnection, newcomer: &Sighting) -> Result<Vec<Uuid>, DbError> {
    let values = newcomer.evidence.iter();
    let values: Vec<_> = values
        .filter(|it| it.assurance == Assurance::Proven)
        .filter_map(|it| normalise(it.kind, &it.raw, Region::default()).ok())
        .collect();
    let found = sqlx::query_scalar(
        "SELECT sighting.sighting_id FROM unnest($1::smallint[], $2::text[]) AS wanted (kind, value)
         CROSS JOIN LATERAL (SELECT sighting_id FROM tickets.sighting_value AS known
            WHERE known.kind = wanted.kind AND known.value = wanted.value LIMIT $3) AS sighting",
    )
    .bind(values.iter().map(|it| it.kind.code()).collect::<Vec<_>>())
    .bind(values.iter().map(|it| it.matching.as_str()).collect::<Vec<_>>())
    .bind(MAX_PER_VALUE)
    .fetch_all(tx)
    .await?;
    Ok(found)
}

/// What is of the same requester as the newcomer.
fn of_newcomer(around: Neighbours, newcomer: Sighting, by_hand: &[Edge]) -> Reached {
    let (mut sightings, contacts) = (around.sightings, around.contacts);
    sightings.push(newcomer);
    let mut access = resolve(&sightings, &Limits::default()).access;
    let mut requesters: BTreeMap<Uuid, BTreeSet<usize>> = BTreeMap::new();
    for (place, contact) in contacts.iter().enumerate() {
        // A session proves nothing but itself: who opens one and names somebody is no requester of theirs.
        let lasting = |kind| !matches!(kind, Kind::ChatSession | Kind::Cookie);
        if is_proven(&sightings[place], lasting) {
            requesters
                .entry(*contact)
                .or_default()
                .insert(access[place]);
        }
    }
    let only = |contact: &Uuid| {
        let all = requesters.get(contact)?;
        all.first().copied().filter(|_| all.len() == 1)
    };
    let joins: Vec<(usize, usize)> = by_hand
        .iter()
        .filter_map(|edge| Some((only(&edge.winner_id)?, only(&edge.loser_id)?)))
        .collect();
    let mut named: BTreeMap<usize, usize> = access.iter().map(|it| (*it, *it)).collect();
    for (one, other) in joins {
        let (one, other) = (named[&one], named[&other]);
        for group in named.values_mut().filter(|group| **group == other) {
            *group = one;
        }
    }
    for group in &mut access {
        *group = named[group];
    }
    let mine = access.last().copied();
    let is_mine = |group: &usize| Some(*group) == mine;
    let known = sightings.iter().zip(&access).zip(&contacts);
    let known = known.filter(|((_, group), _)| is_mine(group));
    let (ids, of): (BTreeSet<Uuid>, BTreeSet<Uuid>) = known
        .filter_map(|((it, _), contact)| Some((Uuid::parse_str(&it.id).ok()?, *contact)))
        .unzip();
    let sole = requesters
        .into_iter()
        .filter(|(_, groups)| groups.iter().all(|group| is_mine(&named[group])));
    let sole: BTreeSet<Uuid> = sole.map(|(contact, _)| contact).collect();
    Reached {
        sightings: ids,
        contacts: of.union(&sole).copied().collect(),
        sole,
        crowded: false,
    }
}

#[cfg(test)]
mod tests {
    use solmu_identity::Evidence;

    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    /// A sighting with identifiers: kind, value, and whether it was proven.
    fn seen(n: u128, identifiers: &[(Kind, &str, bool)]) -> Sighting {
        let evidence = identifiers.iter().map(|(kind, raw, proven)| Evidence {
            kind: *kind,
            scope: String::new(),
            raw: (*raw).to_owned(),
            assurance: if *proven {
                Assurance::Proven
            } else {
                Assurance::Claimed
            },
        });
        Sighting {
            id: if n == 0 {
                String::new()
            } else {
                id(n).to_string()
            },
            at: i64::try_from(n).unwrap(),
            name: "Aino Virtanen".to_owned(),
            evidence: evidence.collect(),
        }
    }

    fn around(known: Vec<(u128, Sighting)>) -> Neighbours {
        let (contacts, sightings) = known.into_iter().map(|(of, it)| (id(of), it)).unzip();
        Neighbours {
            sightings,
            contacts,
            complete: true,
        }
    }

    fn edge(winner: u128, loser: u128) -> Edge {
        Edge::made(id(900), id(winner), id(loser), BY_HAND)
    }

    const MAIL: (Kind, &str, bool) = (Kind::Email, "aino@solmu.fi", true);
    const TYPED: (Kind, &str, bool) = (Kind::Email, "aino@solmu.fi", false);
    const PHONE: (Kind, &str, bool) = (Kind::Phone, "+358401112223", true);
    const SESSION: (Kind, &str, bool) = (Kind::ChatSession, "s1", true);

    #[test]
    fn only_what_both_proved_makes_one_requester() {
        let known = || {
            around(vec![
                (100, seen(1, &[MAIL])),
                (100, seen(2, &[TYPED, SESSION])),
            ])
        };
        let who = |newcomer| of_newcomer(known(), newcomer, &[]).sightings;
        assert_eq!(who(seen(0, &[MAIL])), BTreeSet::from([id(1)]));
        assert_eq!(who(seen(0, &[SESSION, TYPED])), BTreeSet::from([id(2)]));
        let other = (Kind::ChatSession, "s2", true);
        assert_eq!(who(seen(0, &[other, TYPED])), BTreeSet::new());
        let told = of_newcomer(
            around(vec![
                (100, seen(1, &[MAIL])),
                (100, seen(2, &[MAIL, PHONE])),
            ]),
            seen(0, &[PHONE]),
            &[],
        );
        assert_eq!(
            told.sightings,
            BTreeSet::from([id(1), id(2)]),
            "one proved both"
        );
        assert_eq!(told.sole, BTreeSet::from([id(100)]));
        // A session that named the address is in the contact and proves nothing lasting.
        let told = of_newcomer(known(), seen(0, &[MAIL]), &[]);
        assert_eq!(told.sole, BTreeSet::from([id(100)]));
        assert_eq!(
            of_newcomer(known(), seen(0, &[SESSION]), &[]).sole,
            BTreeSet::new()
        );
    }

    #[test]
    fn an_agent_joins_two_proven_requesters_and_nobody_who_only_claims() {
        let known = |more: Vec<(u128, Sighting)>| {
            let mut all = vec![(100, seen(1, &[MAIL])), (200, seen(2, &[PHONE]))];
            all.extend(more);
            around(all)
        };
        let phone = || seen(0, &[PHONE]);
        assert_eq!(of_newcomer(known(vec![]), phone(), &[]).sightings.len(), 1);
        let merged = of_newcomer(known(vec![]), phone(), &[edge(100, 200)]).sightings;
        assert_eq!(merged, BTreeSet::from([id(1), id(2)]));
        // Somebody typed the address in a chat: they are not joined with it.
        let typist = vec![(100, seen(3, &[TYPED, SESSION]))];
        let merged = of_newcomer(known(typist), phone(), &[edge(100, 200)]).sightings;
        assert_eq!(merged, BTreeSet::from([id(1), id(2)]));
        // Two proven requesters in one contact: nobody knows whom the agent meant.
        let second = vec![(100, seen(3, &[(Kind::Telegram, "77", true), TYPED]))];
        let merged = of_newcomer(known(second), phone(), &[edge(100, 200)]);
        assert_eq!(merged.sightings, BTreeSet::from([id(2)]));
        assert_eq!(merged.sole, BTreeSet::from([id(200)]), "not the one of two");
    }
}
