//! `solmu agent`.

mod details;
mod shifts;

use clap::{Subcommand, ValueEnum};
use comfy_table::Table;
use jiff::Timestamp;
use solmu_client::Client;
use solmu_domain::clock::Clock;
use solmu_proto::routing::v1::{
    Agent, CreateAgentRequest, DeleteAgentRequest, Presence, SetPresenceRequest, UpdateAgentRequest,
};

pub use details::AgentDetails;
use details::{AgentDetailView, card};

use crate::{connect::Session, offers, output::table, roster::Roster, views::AgentView, words};

/// Agents: the people who answer.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// All agents
    List,
    /// All that is known of an agent: skills, hours, absences, place
    Show {
        /// Name, e-mail address or id
        agent: String,
    },
    /// Make an agent
    Create {
        /// Name that customers see
        name: String,
        /// Team, by name or id; repeatable. The default team if none is given
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
        /// Most open tickets at a time
        #[arg(long, default_value_t = 10)]
        capacity: i32,
        /// E-mail address
        #[arg(long, default_value = "")]
        email: String,
        /// Takes work at once
        #[arg(long)]
        online: bool,
        /// What they can do
        #[command(flatten)]
        details: AgentDetails,
    },
    /// Change an agent; what is not given stays
    Set {
        /// Name, e-mail address or id
        agent: String,
        /// Most open tickets at a time
        #[arg(long)]
        capacity: Option<i32>,
        /// What they can do
        #[command(flatten)]
        details: AgentDetails,
    },
    /// Say whether an agent takes work
    Presence {
        /// Name, e-mail address or id
        agent: String,
        /// online, busy, away or offline
        presence: PresenceArg,
    },
    /// What an agent is asked to take now
    Offers {
        /// Name, e-mail address or id
        agent: String,
    },
    /// Take what is offered
    Accept {
        /// Name, e-mail address or id
        agent: String,
        /// Id of the offer
        offer: String,
    },
    /// Leave what is offered to somebody else
    Decline {
        /// Name, e-mail address or id
        agent: String,
        /// Id of the offer
        offer: String,
        /// Why, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Give an agent the next ticket that they may do
    Next {
        /// Name, e-mail address or id
        agent: String,
        /// Only of this team, by name or id
        #[arg(long)]
        team: Option<String>,
    },
    /// Remove an agent: their open tickets go back, what was decided still names them
    Remove {
        /// Name, e-mail address or id
        agent: String,
    },
}

/// Whether an agent takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresenceArg {
    /// Takes work
    Online,
    /// Is there, takes no new ones
    Busy,
    /// Keeps tickets, takes no new ones
    Away,
    /// Is not there
    Offline,
}

impl From<PresenceArg> for Presence {
    fn from(presence: PresenceArg) -> Self {
        match presence {
            PresenceArg::Online => Self::Online,
            PresenceArg::Busy => Self::Busy,
            PresenceArg::Away => Self::Away,
            PresenceArg::Offline => Self::Offline,
        }
    }
}

fn list(session: &Session, roster: &Roster, now: Timestamp) -> anyhow::Result<()> {
    let views: Vec<AgentView> = roster.agents.iter().map(AgentView::from).collect();
    let empty = "There is no agent yet: make one with `solmu agent create NAME --online`.";
    session.out.rows(&views, &render(roster, now), empty)
}

pub(crate) async fn run(
    session: &Session,
    command: AgentCommand,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let roster = Roster::fetch(session, &client).await?;
    match command {
        AgentCommand::List => list(session, &roster, clock.now()),
        AgentCommand::Show { agent } => {
            let agent = roster.agent(&agent)?;
            session
                .out
                .either(&AgentDetailView::from(agent), card(agent, &roster))
        }
        AgentCommand::Create {
            name,
            teams,
            capacity,
            email,
            online,
            details,
        } => {
            let team_ids = team_ids(&roster, &teams)?;
            let mut agent = Agent {
                display_name: name,
                team_ids,
                capacity,
                email,
                ..Agent::default()
            };
            details.apply(&mut agent, &roster, clock.now())?;
            create(session, &client, agent, online).await
        }
        AgentCommand::Set {
            agent,
            capacity,
            details,
        } => {
            let mut agent = roster.agent(&agent)?.clone();
            let mut paths = details.apply(&mut agent, &roster, clock.now())?;
            if let Some(capacity) = capacity {
                agent.capacity = capacity;
                paths.push("capacity".to_owned());
            }
            change(session, &client, agent, paths).await
        }
        AgentCommand::Offers { agent } => {
            offers::list(session, &client, &roster.agent(&agent)?.id, clock.now()).await
        }
        AgentCommand::Accept { agent, offer } => {
            offers::accept(session, &client, &roster.agent(&agent)?.id, offer).await
        }
        AgentCommand::Decline {
            agent,
            offer,
            reason,
        } => offers::decline(session, &client, &roster.agent(&agent)?.id, offer, reason).await,
        AgentCommand::Next { agent, team } => {
            let team = team.map(|team| roster.team(&team)).transpose()?;
            let team_id = team.map(|team| team.id.clone()).unwrap_or_default();
            offers::next(session, &client, &roster.agent(&agent)?.id, team_id).await
        }
        AgentCommand::Remove { agent } => remove(session, &client, roster.agent(&agent)?).await,
        AgentCommand::Presence { agent, presence } => {
            let agent_id = &roster.agent(&agent)?.id;
            let agent = set_presence(session, &client, agent_id, presence.into()).await?;
            let name = words::short(&agent.display_name, 40);
            session.out.either(
                &AgentView::from(&agent),
                format!("{name} is {}.", words::presence(agent.presence)),
            )
        }
    }
}

async fn remove(session: &Session, client: &Client, agent: &Agent) -> anyhow::Result<()> {
    let id = agent.id.clone();
    let removed = client
        .routing()
        .delete_agent(DeleteAgentRequest { id })
        .await;
    let agent = removed
        .map_err(|status| session.explain(status))?
        .into_inner();
    let name = words::short(&agent.display_name, 40);
    let text = format!("{name} is removed; their open tickets go back.");
    session.out.either(&AgentView::from(&agent), text)
}

/// Ids of the teams that are meant; of the default team if none is.
fn team_ids(roster: &Roster, meant: &[String]) -> anyhow::Result<Vec<String>> {
    if meant.is_empty() {
        return Ok(roster
            .teams
            .iter()
            .filter(|team| team.default)
            .map(|team| team.id.clone())
            .collect());
    }
    meant_teams(roster, meant)
}

pub(crate) fn meant_teams(roster: &Roster, meant: &[String]) -> anyhow::Result<Vec<String>> {
    meant
        .iter()
        .map(|team| Ok(roster.team(team)?.id.clone()))
        .collect()
}

async fn change(
    session: &Session,
    client: &Client,
    agent: Agent,
    paths: Vec<String>,
) -> anyhow::Result<()> {
    anyhow::ensure!(!paths.is_empty(), "say what to change, e.g. --capacity 5");
    let request = UpdateAgentRequest {
        agent: Some(agent),
        update_mask: Some(prost_types::FieldMask { paths }),
    };
    let agent = client
        .routing()
        .update_agent(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let name = words::short(&agent.display_name, 40);
    session.out.either(
        &AgentView::from(&agent),
        format!("Agent '{name}' is changed."),
    )
}

async fn create(
    session: &Session,
    client: &Client,
    agent: Agent,
    online: bool,
) -> anyhow::Result<()> {
    let presence = if online {
        Presence::Online
    } else {
        Presence::Offline
    };
    let request = CreateAgentRequest {
        agent: Some(Agent {
            presence: presence.into(),
            ..agent
        }),
        ..CreateAgentRequest::default()
    };
    let mut agent = client
        .routing()
        .create_agent(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    if online && agent.presence() != Presence::Online {
        agent = set_presence(session, client, &agent.id, presence).await?;
    }
    let name = words::short(&agent.display_name, 40);
    let text = format!(
        "Agent '{name}' is {}, id {}.",
        words::presence(agent.presence),
        agent.id
    );
    session.out.either(&AgentView::from(&agent), text)
}

async fn set_presence(
    session: &Session,
    client: &Client,
    agent_id: &str,
    presence: Presence,
) -> anyhow::Result<Agent> {
    let request = SetPresenceRequest {
        agent_id: agent_id.to_owned(),
        presence: presence.into(),
    };
    Ok(client
        .routing()
        .set_presence(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner())
}

fn render(roster: &Roster, now: Timestamp) -> Table {
    let mut rows = table(&["Agent", "Presence", "Since", "Load", "Teams", "Id"]);
    for agent in &roster.agents {
        let teams: Vec<&str> = agent
            .team_ids
            .iter()
            .map(|id| roster.team_name(id))
            .collect();
        let since = words::time(agent.presence_time.as_ref());
        rows.add_row([
            words::short(&agent.display_name, 30),
            words::presence(agent.presence),
            since.map_or_else(|| "-".to_owned(), |at| words::relative(now, at)),
            format!("{} of {}", agent.load, agent.capacity),
            words::short(&teams.join(", "), 40),
            agent.id.clone(),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use solmu_proto::routing::v1::Team;

    use super::*;
    use crate::output::flat;

    #[test]
    fn the_table_names_teams() {
        let team = Team {
            id: "t".to_owned(),
            display_name: "Support".to_owned(),
            default: true,
            ..Team::default()
        };
        let agent = Agent {
            id: "a".to_owned(),
            display_name: "Liisa".to_owned(),
            team_ids: vec!["t".to_owned(), "gone".to_owned()],
            presence: Presence::Online.into(),
            presence_time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            capacity: 10,
            load: 3,
            ..Agent::default()
        };
        let roster = Roster {
            agents: vec![agent],
            teams: vec![team],
        };
        let text = flat(&render(&roster, Timestamp::from_second(90).unwrap()).trim_fmt());
        assert!(
            text.ends_with("Liisa online 1 min ago 3 of 10 Support, gone a"),
            "{text}"
        );
    }
}
