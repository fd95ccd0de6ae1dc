//! `solmu sla contacts`.

use clap::Args;
use serde_json::json;
use solmu_proto::sla::v1::{ListTeamContactsRequest, SetTeamContactsRequest, TeamContacts};

use crate::{connect::Session, output::table, roster::Roster, words};

/// What stands for every team without contacts of its own.
const ALL: &str = "all";

/// The contacts of a team.
#[derive(Debug, Args)]
pub struct ContactsArgs {
    /// The team, by name or id; "all" for every team without contacts of its own
    team: Option<String>,
    /// Agent who leads it, by name, address or id; repeatable
    #[arg(long = "lead", value_name = "AGENT", requires = "team")]
    leads: Vec<String>,
    /// Agent whom the leads answer to; repeatable
    #[arg(long = "manager", value_name = "AGENT", requires = "team")]
    managers: Vec<String>,
}

pub(super) async fn run(session: &Session, arguments: ContactsArgs) -> anyhow::Result<()> {
    let client = session.client()?;
    let Some(team) = arguments.team else {
        let roster = Roster::fetch_or_empty(session, &client).await;
        let answer = client
            .sla()
            .list_team_contacts(ListTeamContactsRequest {})
            .await;
        let answer = answer.map_err(|status| session.explain(status))?;
        return list(session, &roster, &answer.into_inner().contacts);
    };
    let roster = Roster::fetch(session, &client).await?;
    let ids = |meant: &[String]| -> anyhow::Result<Vec<String>> {
        let found = meant
            .iter()
            .map(|agent| Ok(roster.agent(agent)?.id.clone()));
        found.collect()
    };
    let contacts = TeamContacts {
        team_id: match team.as_str() {
            ALL => String::new(),
            team => roster.team(team)?.id.clone(),
        },
        lead_agent_ids: ids(&arguments.leads)?,
        manager_agent_ids: ids(&arguments.managers)?,
    };
    let request = SetTeamContactsRequest {
        contacts: Some(contacts),
    };
    let done = client.sla().set_team_contacts(request).await;
    let done = done.map_err(|status| session.explain(status))?.into_inner();
    let text = format!(
        "{}: {}.",
        team_name(&roster, &done.team_id),
        match (
            names(&roster, &done.lead_agent_ids),
            names(&roster, &done.manager_agent_ids)
        ) {
            (leads, managers) if leads.is_empty() && managers.is_empty() =>
                "no contacts of its own".to_owned(),
            (leads, managers) => format!("led by {}, under {}", or_none(leads), or_none(managers)),
        }
    );
    session.out.either(&view(&done), text)
}

fn list(session: &Session, roster: &Roster, contacts: &[TeamContacts]) -> anyhow::Result<()> {
    let mut rows = table(&["Team", "Leads", "Managers"]);
    for own in contacts {
        rows.add_row([
            team_name(roster, &own.team_id),
            names(roster, &own.lead_agent_ids),
            names(roster, &own.manager_agent_ids),
        ]);
    }
    let views: Vec<_> = contacts.iter().map(view).collect();
    let none = "No team has contacts: steps that notify team_lead or manager reach nobody.";
    session.out.rows(&views, &rows, none)
}

fn team_name(roster: &Roster, id: &str) -> String {
    match id {
        "" => "All others".to_owned(),
        id => words::short(roster.team_name(id), 40),
    }
}

fn names(roster: &Roster, agents: &[String]) -> String {
    let names = agents
        .iter()
        .map(|id| words::short(roster.agent_name(id), 40));
    names.collect::<Vec<_>>().join(", ")
}

fn or_none(names: String) -> String {
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names
    }
}

fn view(contacts: &TeamContacts) -> serde_json::Value {
    json!({
        "team_id": contacts.team_id,
        "lead_agent_ids": contacts.lead_agent_ids,
        "manager_agent_ids": contacts.manager_agent_ids,
    })
}
