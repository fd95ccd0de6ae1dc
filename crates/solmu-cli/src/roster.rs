//! Names of agents and teams, in both directions: people type names, the API takes ids.

use anyhow::{anyhow, bail};
use solmu_client::Client;
use solmu_proto::routing::v1::{Agent, ListAgentsRequest, ListTeamsRequest, Team};

use crate::connect::Session;

/// All agents and teams.
#[derive(Debug, Default)]
pub struct Roster {
    pub(crate) agents: Vec<Agent>,
    pub(crate) teams: Vec<Team>,
}

impl Roster {
    /// Asks the server.
    pub async fn fetch(session: &Session, client: &Client) -> anyhow::Result<Self> {
        let mut routing = client.routing();
        let agents = routing
            .list_agents(ListAgentsRequest::default())
            .await
            .map_err(|status| session.explain(status))?;
        let teams = routing
            .list_teams(ListTeamsRequest::default())
            .await
            .map_err(|status| session.explain(status))?;
        Ok(Self {
            agents: agents.into_inner().agents,
            teams: teams.into_inner().teams,
        })
    }

    /// For showing names: without the roster, ids have to do.
    pub async fn fetch_or_empty(session: &Session, client: &Client) -> Self {
        Self::fetch(session, client).await.unwrap_or_default()
    }

    /// The name of an agent, or the id that nobody has.
    #[must_use]
    pub fn agent_name<'a>(&'a self, id: &'a str) -> &'a str {
        self.agents
            .iter()
            .find(|agent| agent.id == id)
            .map_or(id, |agent| &agent.display_name)
    }

    /// The name of a team.
    pub(crate) fn team_name<'a>(&'a self, id: &'a str) -> &'a str {
        self.teams
            .iter()
            .find(|team| team.id == id)
            .map_or(id, |team| &team.display_name)
    }

    /// The agent that somebody means by an id, a name or an e-mail address.
    pub fn agent(&self, meant: &str) -> anyhow::Result<&Agent> {
        let names = |agent: &Agent| [agent.display_name.clone(), agent.email.clone()];
        find("agent", &self.agents, meant, |agent| &agent.id, names)
    }

    /// The team that somebody means by an id or a name.
    pub fn team(&self, meant: &str) -> anyhow::Result<&Team> {
        find(
            "team",
            &self.teams,
            meant,
            |team| &team.id,
            |team| [team.display_name.clone(), String::new()],
        )
    }
}

/// Exact by id; else by name without regard to case, if only one has it.
pub(crate) fn find<'a, T>(
    kind: &str,
    all: &'a [T],
    meant: &str,
    id: impl Fn(&T) -> &String,
    names: impl Fn(&T) -> [String; 2],
) -> anyhow::Result<&'a T> {
    if let Some(found) = all.iter().find(|one| id(one) == meant) {
        return Ok(found);
    }
    let wanted = meant.to_lowercase();
    let mut same = all.iter().filter(|one| {
        names(one)
            .iter()
            .any(|name| !name.is_empty() && name.to_lowercase() == wanted)
    });
    let found = same.next().ok_or_else(|| {
        let known: Vec<String> = all
            .iter()
            .map(|one| format!("'{}'", names(one)[0]))
            .collect();
        let known = if known.is_empty() {
            "none yet".to_owned()
        } else {
            known.join(", ")
        };
        anyhow!("there is no {kind} '{meant}' (there is {known})")
    })?;
    if same.next().is_some() {
        bail!(
            "more than one {kind} is named '{meant}': give its id, see `solmu {kind} list --json`"
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, name: &str) -> Agent {
        Agent {
            id: id.to_owned(),
            display_name: name.to_owned(),
            email: format!("{id}@desk.example"),
            ..Agent::default()
        }
    }

    #[test]
    fn people_are_found_by_what_they_are_called() {
        let agents = vec![
            agent("1", "Liisa"),
            agent("2", "Matti"),
            agent("3", "Matti"),
        ];
        let roster = Roster {
            agents,
            teams: Vec::new(),
        };
        assert_eq!(roster.agent("liisa").unwrap().id, "1");
        assert_eq!(roster.agent("3").unwrap().id, "3");
        assert_eq!(roster.agent("2@desk.example").unwrap().id, "2");
        assert!(
            roster
                .agent("Matti")
                .unwrap_err()
                .to_string()
                .contains("give its id")
        );
        let text = roster.agent("Kai").unwrap_err().to_string();
        assert_eq!(
            text,
            "there is no agent 'Kai' (there is 'Liisa', 'Matti', 'Matti')"
        );
        assert_eq!(
            roster.team("x").unwrap_err().to_string(),
            "there is no team 'x' (there is none yet)"
        );
        assert_eq!(
            (roster.agent_name("1"), roster.agent_name("9")),
            ("Liisa", "9")
        );
    }
}
