//! Names of agents and teams in policies: people write them, the API takes ids.

use solmu_client::Client;
use solmu_domain::ids::{AgentId, TeamId};
use solmu_proto::sla::v1::{ActionKind, Policy, Step};

use crate::{connect::Session, roster::Roster};

/// Whom a step may mean without naming anybody.
const ROLES: [&str; 5] = ["assignee", "team", "team_lead", "manager", "followers"];

/// Puts ids where a policy has names. The roster is asked for only if there is one.
pub(super) async fn name_to_id(
    session: &Session,
    client: &Client,
    policy: &mut Policy,
) -> anyhow::Result<()> {
    let teams = policy.team_targets.iter();
    let named = teams.clone().any(|it| !is_team(&it.team_id))
        || policy.steps.iter().any(|step| named_in(step).is_some());
    if !named {
        return Ok(());
    }
    put_ids(policy, &Roster::fetch(session, client).await?)
}

fn put_ids(policy: &mut Policy, roster: &Roster) -> anyhow::Result<()> {
    for target in &mut policy.team_targets {
        if !is_team(&target.team_id) {
            target.team_id = roster.team(&target.team_id)?.id.clone();
        }
    }
    for step in &mut policy.steps {
        let id = match named_in(step) {
            None => continue,
            Some((prefix @ "team:", name)) => format!("{prefix}{}", roster.team(name)?.id),
            Some((prefix, name)) => format!("{prefix}{}", roster.agent(name)?.id),
        };
        step.target = id;
    }
    Ok(())
}

/// The name in a step's target, and what stands before it.
fn named_in(step: &Step) -> Option<(&'static str, &str)> {
    let target = step.target.as_str();
    let (prefix, name) = match step.action() {
        ActionKind::AddFollower => ("", target),
        ActionKind::Notify => match target.strip_prefix("team:") {
            Some(team) => ("team:", team),
            None if ROLES.contains(&target) => return None,
            None => ("", target),
        },
        ActionKind::Reassign => match target.split_once(':') {
            Some(("team", name)) => ("team:", name),
            Some(("agent", name)) => ("agent:", name),
            _ => return None,
        },
        ActionKind::Unspecified
        | ActionKind::Warn
        | ActionKind::RaisePriority
        | ActionKind::Webhook => return None,
    };
    let is_id = if prefix == "team:" {
        is_team(name)
    } else {
        name.parse::<AgentId>().is_ok()
    };
    (!name.is_empty() && !is_id).then_some((prefix, name))
}

fn is_team(text: &str) -> bool {
    text.parse::<TeamId>().is_ok()
}

#[cfg(test)]
mod tests {
    use solmu_proto::routing::v1::{Agent, Team};

    use super::*;
    use crate::sla::parse;

    const ID: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120002";

    fn roster() -> Roster {
        Roster {
            agents: vec![Agent {
                id: "a".to_owned(),
                display_name: "Liisa".to_owned(),
                ..Agent::default()
            }],
            teams: vec![Team {
                id: "t".to_owned(),
                display_name: "Support".to_owned(),
                ..Team::default()
            }],
        }
    }

    fn written(step: &str) -> anyhow::Result<String> {
        let mut policy = Policy {
            steps: vec![parse::step(step)?],
            ..Policy::default()
        };
        put_ids(&mut policy, &roster())?;
        Ok(policy.steps.remove(0).target)
    }

    #[test]
    fn names_become_ids_and_the_rest_stays() {
        for (step, target) in [
            ("any:after=0:add_follower=liisa", "a"),
            ("any:after=0:notify=Liisa", "a"),
            ("any:after=0:notify=team:support", "team:t"),
            ("any:after=0:reassign=agent:Liisa", "agent:a"),
            ("any:after=0:reassign=team:Support", "team:t"),
            ("any:after=0:notify=team_lead", "team_lead"),
            ("any:after=0:reassign", ""),
            ("any:after=0:webhook=Liisa", "Liisa"),
            ("any:after=0:raise_priority=urgent", "urgent"),
        ] {
            assert_eq!(written(step).unwrap(), target, "{step}");
        }
        let known = format!("any:after=0:add_follower={ID}");
        assert_eq!(written(&known).unwrap(), ID);
        let nobody = written("any:after=0:add_follower=Kai")
            .unwrap_err()
            .to_string();
        assert_eq!(nobody, "there is no agent 'Kai' (there is 'Liisa')");
        let mut policy = Policy {
            team_targets: vec![parse::team_target("Support=urgent:1h").unwrap()],
            ..Policy::default()
        };
        put_ids(&mut policy, &roster()).unwrap();
        assert_eq!(policy.team_targets[0].team_id, "t");
    }
}
