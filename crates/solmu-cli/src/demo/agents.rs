//! Somebody has to be there: tickets are owned only when agents are online and have room.

use std::time::Duration;

use anyhow::bail;
use solmu_client::Client;
use solmu_proto::routing::v1::{
    Agent, CreateAgentRequest, CreateTeamRequest, Presence, SetPresenceRequest, Team,
    UpdateAgentRequest,
};

use crate::{connect::Session, roster::Roster};

/// The largest capacity that the router takes.
const MOST: i32 = 1_000_000;
/// Agents of the demo and of bench.
const NAMES: [&str; 2] = ["Liisa Demo", "Matti Demo"];

/// How long the router may take to hand out what waited for room.
const SETTLE: Duration = Duration::from_millis(600);
/// How often room is made before it counts as impossible. It doubles each time.
const TRIES: u32 = 14;

/// Sees to it that at least `room` more tickets can be owned, with agents of its own where the desk's people have no
/// room; says what it did.
///
/// Tickets that wait already are handed out first, so room is made until it stays.
pub async fn ensure_room(
    session: &Session,
    client: &Client,
    room: i32,
) -> anyhow::Result<Option<String>> {
    let mut roster = Roster::fetch(session, client).await?;
    if free(&roster.agents) >= room {
        return Ok(None);
    }
    let team = match roster
        .teams
        .iter()
        .find(|team| team.default)
        .or_else(|| roster.teams.first())
    {
        Some(team) => team.clone(),
        None => make_team(session, client).await?,
    };
    // Each takes half, and a reserve for what others send meanwhile.
    let share = room / 2 + room / 4 + 5;
    for attempt in 0..TRIES {
        let share = share.saturating_mul(1 << attempt).min(MOST);
        for name in NAMES {
            match roster
                .agents
                .iter()
                .find(|agent| agent.display_name == name)
            {
                Some(agent) => widen(session, client, agent, share).await?,
                None => hire(session, client, name, &team.id, share).await?,
            }
        }
        tokio::time::sleep(SETTLE).await;
        roster = Roster::fetch(session, client).await?;
        if free(&roster.agents) >= room {
            return Ok(Some(format!(
                "{} and {} are online in team '{}'",
                NAMES[0], NAMES[1], team.display_name
            )));
        }
    }
    bail!(
        "there is room for {} more tickets and {room} are needed: see `solmu agent list`",
        free(&roster.agents)
    )
}

/// Tickets that agents who are online can still take.
fn free(agents: &[Agent]) -> i32 {
    let online = agents
        .iter()
        .filter(|agent| agent.presence() == Presence::Online && !agent.team_ids.is_empty());
    online
        .map(|agent| (agent.capacity - agent.load).max(0))
        .fold(0, i32::saturating_add)
}

async fn make_team(session: &Session, client: &Client) -> anyhow::Result<Team> {
    let team = Team {
        display_name: "Support".to_owned(),
        default: true,
        ..Team::default()
    };
    let request = CreateTeamRequest {
        team: Some(team),
        ..CreateTeamRequest::default()
    };
    Ok(client
        .routing()
        .create_team(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner())
}

async fn hire(
    session: &Session,
    client: &Client,
    name: &str,
    team_id: &str,
    capacity: i32,
) -> anyhow::Result<()> {
    let agent = Agent {
        display_name: name.to_owned(),
        team_ids: vec![team_id.to_owned()],
        presence: Presence::Online.into(),
        capacity,
        ..Agent::default()
    };
    let request = CreateAgentRequest {
        agent: Some(agent),
        ..CreateAgentRequest::default()
    };
    let agent = client
        .routing()
        .create_agent(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    go_online(session, client, &agent).await
}

async fn widen(
    session: &Session,
    client: &Client,
    agent: &Agent,
    share: i32,
) -> anyhow::Result<()> {
    if agent.capacity - agent.load < share {
        let wider = Agent {
            capacity: agent.load.saturating_add(share).min(MOST),
            ..agent.clone()
        };
        let request = UpdateAgentRequest {
            agent: Some(wider),
            ..UpdateAgentRequest::default()
        };
        client
            .routing()
            .update_agent(request)
            .await
            .map_err(|status| session.explain(status))?;
    }
    go_online(session, client, agent).await
}

async fn go_online(session: &Session, client: &Client, agent: &Agent) -> anyhow::Result<()> {
    if agent.presence() == Presence::Online {
        return Ok(());
    }
    let request = SetPresenceRequest {
        agent_id: agent.id.clone(),
        presence: Presence::Online.into(),
    };
    client
        .routing()
        .set_presence(request)
        .await
        .map_err(|status| session.explain(status))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_people_who_are_there_have_room() {
        let agent = |presence: Presence, capacity, load, teams: &[&str]| Agent {
            presence: presence.into(),
            capacity,
            load,
            team_ids: teams.iter().map(|team| (*team).to_owned()).collect(),
            ..Agent::default()
        };
        let agents = [
            agent(Presence::Online, 10, 4, &["t"]),
            agent(Presence::Online, 1, 3, &["t"]),
            agent(Presence::Away, 9, 0, &["t"]),
            agent(Presence::Online, 9, 0, &[]),
        ];
        assert_eq!(free(&agents), 6);
    }
}
