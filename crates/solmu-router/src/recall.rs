//! What the leader reads from the tables: everything when it takes over, later only what has changed or is missing.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use solmu_domain::ids::{ContactId, DecisionId, TicketId};
use solmu_matching::Policy;
use sqlx::PgConnection;

use crate::{
    core::{
        event::{TicketEvent, What},
        state::State,
    },
    error::RoundError,
    store::{
        decision::decided_tickets,
        desk::{self, Stamp, agents_load, rules_load, teams_load},
        ticket::{last_agents, tickets_fetch, tickets_live},
    },
};

/// What the configuration says of decisions.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) policy: Policy,
    /// Absent: languages do not matter.
    pub(crate) language_relax_s: Option<u32>,
    /// Of the fields `hour` and `weekday` of rules.
    pub(crate) zone: TimeZone,
    /// How long a contact's last agent is remembered.
    pub(crate) returning: SignedDuration,
}

/// What one leader knows.
pub(crate) struct Known {
    pub(crate) epoch: i64,
    pub(crate) stamp: Stamp,
    pub(crate) state: State,
}

/// All that the tables know.
pub(crate) async fn rebuild(
    tx: &mut PgConnection,
    epoch: i64,
    terms: &Terms,
) -> Result<Known, RoundError> {
    let stamp = desk::stamp(tx).await?;
    let mut state = State::new(terms.policy.clone(), terms.language_relax_s);
    state.set_rules(rules_load(tx, stamp).await?.in_zone(terms.zone.clone()));
    state.set_teams(teams_load(tx).await?);
    for ticket in tickets_live(tx).await? {
        state.restore(ticket);
    }
    for (agent, load) in agents_load(tx).await? {
        let id = agent.id;
        state.desk_mut().set_agent(agent);
        state.desk_mut().restore(id, load);
    }
    Ok(Known {
        epoch,
        stamp,
        state,
    })
}

/// Reads agents, teams and rules again if they have changed.
pub(crate) async fn refresh(
    tx: &mut PgConnection,
    known: &mut Known,
    terms: &Terms,
) -> Result<(), RoundError> {
    let stamp = desk::stamp(tx).await?;
    let state = &mut known.state;
    if !stamp.same_rules(known.stamp) {
        state.set_teams(teams_load(tx).await?);
        state.set_rules(rules_load(tx, stamp).await?.in_zone(terms.zone.clone()));
    }
    if !stamp.same_agents(known.stamp) {
        for (agent, load) in agents_load(tx).await? {
            let id = agent.id;
            let known_version = state.desk().agent(id).map(|known| known.version);
            if known_version == Some(agent.version) {
                continue;
            }
            state.desk_mut().set_agent(agent);
            if known_version.is_none() {
                state.desk_mut().restore(id, load);
            }
        }
    }
    known.stamp = stamp;
    Ok(())
}

/// Takes in what the tables know of tickets that memory does not hold, and names those of rejected decisions.
pub(crate) async fn find_tickets(
    tx: &mut PgConnection,
    state: &mut State,
    mut events: Vec<TicketEvent>,
) -> Result<Vec<TicketEvent>, RoundError> {
    let nameless: Vec<DecisionId> = events
        .iter()
        .filter_map(|event| match (event.ticket, event.what) {
            (None, What::Rejected { decision, .. }) => Some(decision),
            _ => None,
        })
        .collect();
    if !nameless.is_empty() {
        let about: HashMap<_, _> = decided_tickets(tx, &nameless).await?.into_iter().collect();
        for event in &mut events {
            if let (None, What::Rejected { decision, .. }) = (event.ticket, event.what) {
                event.ticket = about.get(&decision).copied();
            }
        }
    }
    let unknown: HashSet<TicketId> = events
        .iter()
        .filter_map(|event| event.ticket)
        .filter(|id| state.ticket(*id).is_none())
        .collect();
    let unknown: Vec<_> = unknown.into_iter().collect();
    for ticket in tickets_fetch(tx, &unknown).await? {
        state.restore(ticket);
    }
    Ok(events)
}

/// Who had the last ticket of the contacts that new tickets come from.
pub(crate) async fn find_formers(
    tx: &mut PgConnection,
    state: &mut State,
    events: &[TicketEvent],
    since: Timestamp,
) -> Result<(), RoundError> {
    let new = events.iter().filter_map(|event| {
        let (id, facts) = (event.ticket?, event.facts.as_ref()?);
        let unknown = state.ticket(id).is_none() && facts.assignee.is_none();
        facts.contact.filter(|_| unknown)
    });
    let contacts: HashSet<ContactId> = new.collect();
    let contacts: Vec<_> = contacts.into_iter().collect();
    state.set_formers(
        last_agents(tx, &contacts, since)
            .await?
            .into_iter()
            .collect(),
    );
    Ok(())
}
