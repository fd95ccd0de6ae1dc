//! What the leader reads from the tables: everything when it takes over, later only what has changed or is missing.

use std::collections::{HashMap, HashSet};

use solmu_domain::ids::{DecisionId, TicketId};
use sqlx::PgConnection;

use crate::{
    core::{
        event::{TicketEvent, What},
        state::State,
    },
    error::RoundError,
    store::{
        decision::decided_tickets,
        desk::{self, Stamp, agents_load, rules_load, team_names},
        ticket::{tickets_fetch, tickets_live},
    },
};

/// What one leader knows.
pub(crate) struct Known {
    pub(crate) epoch: i64,
    pub(crate) stamp: Stamp,
    pub(crate) state: State,
}

/// All that the tables know.
pub(crate) async fn rebuild(tx: &mut PgConnection, epoch: i64) -> Result<Known, RoundError> {
    let stamp = desk::stamp(tx).await?;
    let mut state = State::default();
    state.set_rules(rules_load(tx, stamp).await?);
    state.desk_mut().set_team_names(team_names(tx).await?);
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
pub(crate) async fn refresh(tx: &mut PgConnection, known: &mut Known) -> Result<(), RoundError> {
    let stamp = desk::stamp(tx).await?;
    let state = &mut known.state;
    if !stamp.same_rules(known.stamp) {
        state.desk_mut().set_team_names(team_names(tx).await?);
        state.set_rules(rules_load(tx, stamp).await?);
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
