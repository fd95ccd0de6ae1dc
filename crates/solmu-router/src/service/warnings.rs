//! What a rule may say and probably does not mean: a skill that nobody has, a language that nobody writes, a team without
//! agents. A rule may be there before its people are, so this is told with the answer, and is no error.

use solmu_conditions::{Condition, Leaf, Operator, Value};
use solmu_proto::routing::v1 as proto;
use solmu_roster::rule::Wish;
use solmu_runtime::ApiError;

use super::Service;
use crate::store::rule::RuleSpec;

/// Warnings about one rule at most.
const SHOWN: usize = 20;

impl Service {
    /// What the roster says of a rule now.
    pub(super) async fn warnings(&self, spec: &RuleSpec) -> Result<Vec<String>, ApiError> {
        let agents = self.agent_list(false).await?;
        let teams = self.team_list(false).await?;
        let languages = self.language_relax_s.is_some();
        Ok(warnings(spec, &agents, &teams, languages))
    }
}

/// `languages`: whether the language of a ticket matters to who gets it.
fn warnings(
    spec: &RuleSpec,
    agents: &[proto::Agent],
    teams: &[proto::Team],
    languages: bool,
) -> Vec<String> {
    let mut found = Vec::new();
    let id = spec.actions.team.map(|team| team.to_string());
    let team = id.and_then(|id| teams.iter().find(|team| team.id == id));
    let (theirs, whose): (Vec<&proto::Agent>, String) = match team {
        Some(team) => (
            agents.iter().filter(|it| may_take(it, team)).collect(),
            format!(" of team '{}'", team.display_name),
        ),
        // A rule that goes on: whichever team is chosen behind it.
        None => (agents.iter().collect(), String::new()),
    };
    if let Some(team) = team
        && theirs.is_empty()
        && spec
            .actions
            .restrict
            .as_ref()
            .is_none_or(|it| it.agents.is_empty())
    {
        let name = &team.display_name;
        return vec![format!(
            "team '{name}' has no agents: its tickets wait until it has one"
        )];
    }
    for wish in &spec.actions.wishes {
        found.extend(lack(wish, &theirs, agents, &whose));
    }
    if languages && !theirs.is_empty() {
        let mut asked = Vec::new();
        languages_in(&spec.tree, &mut asked);
        let writes = |code: &str| {
            let mut all = theirs.iter();
            all.any(|it| it.languages.is_empty() || it.languages.iter().any(|own| own == code))
        };
        let unwritten = asked.into_iter().filter(|code| !writes(code));
        found.extend(unwritten.map(|code| {
            format!("nobody{whose} writes '{code}': such tickets wait for a while before others get them")
        }));
    }
    if let Some(id) = spec.actions.agent.map(|agent| agent.to_string())
        && let Some(agent) = agents.iter().find(|agent| agent.id == id)
        && !theirs.iter().any(|it| it.id == id)
    {
        let name = &agent.display_name;
        found.push(format!(
            "'{name}' is none{whose}, so they get none of its tickets"
        ));
    }
    found.truncate(SHOWN);
    found
}

/// Whether an agent works for a team, or ever helps it.
fn may_take(agent: &proto::Agent, team: &proto::Team) -> bool {
    let helps = team.overflow_after.is_some() || team.follow_sun;
    let backs_up = || agent.backup_team_ids.contains(&team.id);
    let overflows = || {
        agent
            .team_ids
            .iter()
            .any(|it| team.overflow_team_ids.contains(it))
    };
    agent.team_ids.contains(&team.id) || (helps && (backs_up() || overflows()))
}

/// What of a skill is not there, if anything.
fn lack(
    wish: &Wish,
    theirs: &[&proto::Agent],
    everybody: &[proto::Agent],
    whose: &str,
) -> Option<String> {
    let skill = wish.skill.to_lowercase();
    let level = |agent: &proto::Agent| {
        let named = agent
            .skills
            .iter()
            .filter(|(name, _)| name.to_lowercase() == skill);
        named.map(|(_, level)| *level).max()
    };
    let highest = theirs.iter().filter_map(|it| level(it)).max();
    if highest.is_some_and(|highest| highest >= i32::from(wish.level)) {
        return None;
    }
    let elsewhere = everybody.iter().any(|agent| level(agent).is_some());
    let lack = match highest {
        Some(highest) => format!(
            "nobody{whose} has the skill '{}' at level {}, the highest is {highest}",
            wish.skill, wish.level
        ),
        None if elsewhere => format!("nobody{whose} has the skill '{}'", wish.skill),
        None => format!("nobody has the skill '{}'", wish.skill),
    };
    let then = match (wish.required, wish.relax_after_s) {
        (true, None) => "its tickets wait until somebody does".to_owned(),
        (true, Some(seconds)) => {
            format!("its tickets wait {seconds} seconds before others get them")
        }
        (false, _) => "so nobody comes first".to_owned(),
    };
    Some(format!("{lack}: {then}"))
}

/// Languages that a condition asks for.
fn languages_in(condition: &Condition, found: &mut Vec<String>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                languages_in(part, found);
            }
        }
        Condition::Leaf(Leaf {
            field,
            operator: Operator::Eq | Operator::In,
            value: Some(value),
        }) if field == "language" => {
            let all = match value {
                Value::List(values) => values.as_slice(),
                one => std::slice::from_ref(one),
            };
            for value in all {
                if let Value::Text(code) = value
                    && !found.contains(code)
                {
                    found.push(code.clone());
                }
            }
        }
        // What a condition excludes, nobody has to write.
        Condition::Not(_) | Condition::Leaf(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use solmu_roster::parse;

    use super::*;

    const TEAM: &str = "00000000-0000-7000-8000-000000000001";
    const HELPERS: &str = "00000000-0000-7000-8000-000000000002";
    const LIISA: &str = "00000000-0000-7000-8000-00000000000a";
    const MATTI: &str = "00000000-0000-7000-8000-00000000000b";

    fn agent(id: &str, team: &str, skills: &[(&str, i32)], languages: &[&str]) -> proto::Agent {
        let skills = skills.iter();
        proto::Agent {
            id: id.to_owned(),
            display_name: if id == LIISA { "Liisa" } else { "Matti" }.to_owned(),
            team_ids: vec![team.to_owned()],
            skills: skills
                .map(|(name, level)| ((*name).to_owned(), *level))
                .collect(),
            languages: languages.iter().map(|it| (*it).to_owned()).collect(),
            ..proto::Agent::default()
        }
    }

    fn said(rule: proto::Rule, agents: &[proto::Agent], overflow: bool) -> Vec<String> {
        let named = |id: &str, name: &str| proto::Team {
            id: id.to_owned(),
            display_name: name.to_owned(),
            ..proto::Team::default()
        };
        let billing = proto::Team {
            overflow_after: overflow.then(prost_types::Duration::default),
            overflow_team_ids: vec![HELPERS.to_owned()],
            ..named(TEAM, "Billing")
        };
        let rule = proto::Rule {
            display_name: "a rule".to_owned(),
            team_id: if rule.goes_on { "" } else { TEAM }.to_owned(),
            enabled: true,
            ..rule
        };
        let (spec, _) = parse::rule(&rule).unwrap();
        warnings(&spec, agents, &[billing, named(HELPERS, "Helpers")], true)
    }

    fn needs(skill: &str, level: i32, relax: Option<i64>, required: bool) -> proto::Rule {
        let relax = relax.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        proto::Rule {
            skills: vec![proto::SkillWish {
                skill: skill.to_owned(),
                level,
                required,
                relax_after: relax,
            }],
            ..proto::Rule::default()
        }
    }

    #[test]
    fn a_skill_that_is_missing_is_told_with_what_comes_of_it() {
        let people = [
            agent(LIISA, TEAM, &[("Billing", 2)], &[]),
            agent(MATTI, HELPERS, &[("invoices", 5)], &[]),
        ];
        assert!(said(needs("billing", 2, None, true), &people, false).is_empty());
        assert_eq!(
            said(needs("billing", 3, None, true), &people, false),
            [
                "nobody of team 'Billing' has the skill 'billing' at level 3, the highest is 2: its tickets wait until \
              somebody does"
            ]
        );
        assert_eq!(
            said(needs("bilingual", 1, Some(60), true), &people, false),
            [
                "nobody has the skill 'bilingual': its tickets wait 60 seconds before others get them"
            ]
        );
        let elsewhere = needs("invoices", 1, None, false);
        assert_eq!(
            said(elsewhere.clone(), &people, false),
            ["nobody of team 'Billing' has the skill 'invoices': so nobody comes first"]
        );
        assert!(said(elsewhere, &people, true).is_empty(), "helpers have it");
        let on = proto::Rule {
            goes_on: true,
            ..needs("invoices", 5, None, true)
        };
        assert!(
            said(on, &people, false).is_empty(),
            "any team may be chosen"
        );
    }

    #[test]
    fn a_language_that_nobody_writes_and_a_team_without_agents() {
        let rule = |condition: &str| proto::Rule {
            condition: condition.to_owned(),
            ..proto::Rule::default()
        };
        let finnish = [agent(LIISA, TEAM, &[], &["fi"])];
        assert!(said(rule("language = fi OR NOT language = sv"), &finnish, false).is_empty());
        let swedish = said(rule("language = sv AND channel = email"), &finnish, false);
        assert!(
            swedish[0].starts_with("nobody of team 'Billing' writes 'sv'"),
            "{swedish:?}"
        );
        let any = [agent(LIISA, TEAM, &[], &[])];
        assert!(
            said(rule("language = sv"), &any, false).is_empty(),
            "nobody said"
        );
        let others = [agent(MATTI, HELPERS, &[], &[])];
        assert_eq!(
            said(rule(""), &others, false),
            ["team 'Billing' has no agents: its tickets wait until it has one"]
        );
        assert!(said(rule(""), &others, true).is_empty(), "others help it");
    }

    #[test]
    fn an_agent_who_does_not_work_there_is_told() {
        let rule = proto::Rule {
            agent_id: MATTI.to_owned(),
            ..proto::Rule::default()
        };
        let people = [
            agent(LIISA, TEAM, &[], &[]),
            agent(MATTI, HELPERS, &[], &[]),
        ];
        assert_eq!(
            said(rule.clone(), &people, false),
            ["'Matti' is none of team 'Billing', so they get none of its tickets"]
        );
        assert!(said(rule, &people, true).is_empty());
    }
}
