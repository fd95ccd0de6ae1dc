//! From requests to checked values: everything that is wrong is reported at once, each with its field.

use std::str::FromStr;

use solmu_conditions::{Checked, FilterError, parse};
use solmu_domain::{
    contact::EmailAddress,
    ids::{ParseIdError, TeamId},
    ticket::Priority,
};
use solmu_proto::routing::v1 as proto;
use solmu_runtime::{ApiError, api_error::Violation};

use crate::{
    core::{desk::Presence, rules::SCHEMA},
    store::{people::AgentProfile, rule::RuleSpec},
};

/// Characters of a name at most.
const NAME_MAX: usize = 100;
/// Tickets that one agent can have at most.
const CAPACITY_MAX: i32 = 1_000_000;
/// Tags that a rule adds at most.
const TAGS_MAX: usize = 20;
/// Characters of a tag at most.
const TAG_MAX: usize = 60;
/// Teams of an agent at most.
const TEAMS_MAX: usize = 100;

/// An id.
pub(super) fn id<T: FromStr<Err = ParseIdError>>(field: &str, text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error: ParseIdError| ApiError::invalid(field, error.to_string()))
}

/// A presence that somebody asked for.
pub(super) fn presence(presence: proto::Presence) -> Result<Presence, ApiError> {
    match presence {
        proto::Presence::Online => Ok(Presence::Online),
        proto::Presence::Away => Ok(Presence::Away),
        proto::Presence::Offline => Ok(Presence::Offline),
        proto::Presence::Unspecified => {
            Err(ApiError::invalid("presence", "say online, away or offline"))
        }
    }
}

/// Collects what is wrong with a request.
#[derive(Default)]
struct Checker(Vec<Violation>);

impl Checker {
    fn wrong(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    fn name(&mut self, field: &str, text: &str) -> String {
        let name = text.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX {
            self.wrong(field, format!("needs 1 to {NAME_MAX} characters"));
        } else if name.chars().any(char::is_control) {
            self.wrong(field, "must not hold control characters");
        }
        name.to_owned()
    }

    fn done<T>(self, value: T) -> Result<T, ApiError> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ApiError::InvalidArgument { violations: self.0 })
        }
    }
}

/// The name of a new team.
pub(super) fn team_name(text: &str) -> Result<String, ApiError> {
    let mut checker = Checker::default();
    let name = checker.name("team.display_name", text);
    checker.done(name)
}

/// What people say of an agent.
pub(super) fn profile(agent: &proto::Agent) -> Result<AgentProfile, ApiError> {
    let mut checker = Checker::default();
    let display_name = checker.name("agent.display_name", &agent.display_name);
    if !(1..=CAPACITY_MAX).contains(&agent.capacity) {
        checker.wrong("agent.capacity", format!("must be 1 to {CAPACITY_MAX}"));
    }
    let email = agent.email.trim();
    if !email.is_empty() && EmailAddress::parse(email).is_err() {
        checker.wrong("agent.email", "must be an address such as anna@example.com");
    }
    let mut teams: Vec<TeamId> = Vec::new();
    if agent.team_ids.len() > TEAMS_MAX {
        checker.wrong("agent.team_ids", format!("at most {TEAMS_MAX} teams"));
    }
    for text in agent.team_ids.iter().take(TEAMS_MAX) {
        match text.parse::<TeamId>() {
            Ok(team) => teams.push(team),
            Err(error) => checker.wrong("agent.team_ids", error.to_string()),
        }
    }
    checker.done(AgentProfile {
        display_name,
        email: email.to_owned(),
        capacity: agent.capacity,
        teams,
    })
}

/// A rule, with its condition compiled.
pub(super) fn rule(rule: &proto::Rule) -> Result<(RuleSpec, Checked), ApiError> {
    let mut checker = Checker::default();
    let display_name = checker.name("rule.display_name", &rule.display_name);
    let team = rule.team_id.parse::<TeamId>();
    if let Err(error) = &team {
        checker.wrong("rule.team_id", error.to_string());
    }
    let set_priority = match rule.set_priority.as_str() {
        "" => None,
        name => {
            let priority = name.parse::<Priority>().ok();
            if priority.is_none() {
                checker.wrong("rule.set_priority", "use low, normal, high or urgent");
            }
            priority
        }
    };
    if rule.add_tags.len() > TAGS_MAX {
        checker.wrong("rule.add_tags", format!("at most {TAGS_MAX} tags"));
    }
    let bad_tag = |tag: &String| {
        tag.trim().is_empty() || tag.chars().count() > TAG_MAX || tag.contains(char::is_control)
    };
    if rule.add_tags.iter().any(bad_tag) {
        let wanted = format!("a tag has 1 to {TAG_MAX} characters and no control characters");
        checker.wrong("rule.add_tags", wanted);
    }
    let condition = parse(&rule.condition, &SCHEMA);
    if let Err(error) = &condition {
        for sentence in sentences(error) {
            checker.wrong("rule.condition", sentence);
        }
    }
    let (Ok(condition), Ok(team)) = (condition, team) else {
        return Err(ApiError::InvalidArgument {
            violations: checker.0,
        });
    };
    let spec = RuleSpec {
        display_name,
        position: rule.position,
        condition: rule.condition.trim().to_owned(),
        tree: condition.condition().clone(),
        team,
        set_priority,
        add_tags: rule
            .add_tags
            .iter()
            .map(|tag| tag.trim().to_owned())
            .collect(),
        enabled: rule.enabled,
    };
    checker.done((spec, condition))
}

/// One sentence for each thing that is wrong with a condition.
fn sentences(error: &FilterError) -> Vec<String> {
    match error {
        FilterError::Invalid(violations) => violations
            .iter()
            .map(|violation| match violation.position {
                Some(position) => format!("at character {position}: {violation}"),
                None => violation.to_string(),
            })
            .collect(),
        FilterError::TooLong { .. } | FilterError::Syntax { .. } => vec![error.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(error: ApiError) -> Vec<String> {
        match error {
            ApiError::InvalidArgument { violations } => {
                violations.into_iter().map(|it| it.field).collect()
            }
            other => panic!("{other} is no list of violations"),
        }
    }

    #[test]
    fn all_that_is_wrong_with_a_rule_is_said_at_once() {
        let wrong = proto::Rule {
            display_name: " ".to_owned(),
            team_id: "x".to_owned(),
            set_priority: "soon".to_owned(),
            add_tags: vec![String::new()],
            condition: "chanel = email AND priority = sky".to_owned(),
            ..proto::Rule::default()
        };
        assert_eq!(
            fields(rule(&wrong).unwrap_err()),
            [
                "rule.display_name",
                "rule.team_id",
                "rule.set_priority",
                "rule.add_tags",
                "rule.condition",
                "rule.condition"
            ]
        );
    }

    #[test]
    fn a_rule_without_condition_always_holds() {
        let always = proto::Rule {
            display_name: "all".to_owned(),
            team_id: uuid::Uuid::from_u128(1).to_string(),
            ..proto::Rule::default()
        };
        assert_eq!(rule(&always).unwrap().1.fields(), Vec::<&str>::new());
    }

    #[test]
    fn an_agent_needs_a_name_and_room() {
        let nobody = proto::Agent {
            email: "no address".to_owned(),
            team_ids: vec!["x".to_owned()],
            ..proto::Agent::default()
        };
        assert_eq!(
            fields(profile(&nobody).unwrap_err()),
            [
                "agent.display_name",
                "agent.capacity",
                "agent.email",
                "agent.team_ids"
            ]
        );
    }
}
