//! Lets messages of one person see each other: what is filed together is decided on one loading of the tables, so two
//! messages about one matter must not be in it. Who files must not matter either: two replicas file for one person one
//! after the other.

use std::collections::{BTreeSet, HashMap};

use solmu_contacts::filing::keys_of;
use solmu_matter::Writing;
use solmu_proto::inbound::v1::MessageReceived;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::find::{counts, writing_of};
use crate::{
    config::MatterPolicy, context::Context, error::TicketError, file::sender_of,
    model::class_from_proto,
};

/// Where a batch has to be cut so that each message sees what the same person wrote before about the same: the places at
/// which a new part begins. No other replica files for these persons until the transaction ends.
pub(crate) async fn cuts(
    tx: &mut PgConnection,
    context: &Context,
    messages: &[(&MessageReceived, &TraceContext)],
) -> Result<BTreeSet<usize>, TicketError> {
    if context.config.matter.is_off() {
        return Ok(BTreeSet::new());
    }
    let mut names: Vec<BTreeSet<String>> = vec![BTreeSet::new(); messages.len()];
    let (mut kinds, mut scopes, mut values, mut places) = (vec![], vec![], vec![], vec![]);
    for (place, (message, _)) in messages.iter().enumerate() {
        if !counts(message) {
            continue;
        }
        for (kind, scope, value) in keys_of(&sender_of(message)) {
            names[place].insert(format!("{kind} {scope} {value}"));
            kinds.push(kind);
            scopes.push(scope);
            values.push(value);
            places.push(i64::try_from(place).unwrap_or(i64::MAX));
        }
    }
    if places.is_empty() {
        return Ok(BTreeSet::new());
    }
    let people: Vec<(i64, Uuid)> = sqlx::query_as(
        "SELECT wanted.place, coalesce(contact.root_id, contact.id)
         FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[]) AS wanted (kind, scope, value, place)
         JOIN tickets.identity USING (kind, scope, value)
         JOIN tickets.contact ON contact.id = identity.contact_id",
    )
    .bind(kinds)
    .bind(scopes)
    .bind(values)
    .bind(places)
    .fetch_all(&mut *tx)
    .await?;
    let people: BTreeSet<(usize, Uuid)> = people
        .into_iter()
        .map(|(place, person)| (usize::try_from(place).unwrap_or(usize::MAX), person))
        .collect();
    hold(tx, people.iter().map(|(_, person)| *person).collect()).await?;
    for (place, person) in people {
        names[place].insert(person.to_string());
    }
    Ok(cuts_between(context, messages, &names))
}

/// A cut stands before each message of somebody who wrote on another channel since the last cut, or about the same order
/// on this one. What is on one channel is not cut for less: a batch may hold a hundred mails of one sender.
fn cuts_between(
    context: &Context,
    messages: &[(&MessageReceived, &TraceContext)],
    names: &[BTreeSet<String>],
) -> BTreeSet<usize> {
    let within = context.config.matter.on_same_channel() != MatterPolicy::Off;
    let mut cuts = BTreeSet::new();
    // The places of what each person wrote since the last cut.
    let mut seen: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut read: HashMap<usize, Writing> = HashMap::new();
    for (place, (message, _)) in messages.iter().enumerate() {
        let all = names[place].iter().map(String::as_str);
        let earlier = all.clone().filter_map(|name| seen.get(name)).flatten();
        let earlier: BTreeSet<usize> = earlier.copied().collect();
        let (same, other): (Vec<usize>, Vec<usize>) = earlier
            .into_iter()
            .partition(|it| messages[*it].0.channel() == message.channel());
        let mut meets = !other.is_empty();
        // A machine's mail is not compared with what came on its own channel.
        let human = class_from_proto(message.automatic_class()).is_human();
        if within && human && !meets && !same.is_empty() {
            for one in same.iter().chain([&place]) {
                read.entry(*one)
                    .or_insert_with(|| writing_of(context, messages[*one].0));
            }
            let ours = &read[&place];
            meets = same.iter().any(|it| read[it].shares_reference(ours));
        }
        if meets {
            cuts.insert(place);
            seen.clear();
        }
        for name in all {
            seen.entry(name).or_default().push(place);
        }
    }
    cuts
}

/// Waits until nobody else files for these persons; holds until the transaction ends.
async fn hold(tx: &mut PgConnection, people: BTreeSet<Uuid>) -> Result<(), TicketError> {
    if people.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "SELECT pg_advisory_xact_lock(key) FROM (
            SELECT DISTINCT hashtextextended('tickets.matter ' || person, 0) AS key FROM unnest($1::text[]) AS person
            ORDER BY key) AS keys",
    )
    .bind(people.iter().map(Uuid::to_string).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}
