//! Rules.

use jiff::tz::TimeZone;
use solmu_conditions::{Checked, FilterError, parse};
use solmu_domain::{
    ids::{AgentId, TeamId},
    ticket::Priority,
};
use solmu_proto::routing::v1 as proto;
use solmu_runtime::ApiError;

use super::{Checker, words};
use crate::{
    rule::{Actions, Effects, Restrict, SCHEMA, Wish},
    store::rule::RuleSpec,
};

/// Tags that a rule adds at most.
const TAGS_MAX: usize = 20;
/// Characters of a tag at most.
const TAG_MAX: usize = 60;
/// Agents, and teams, that a rule restricts to at most, besides its team.
const NAMED_MAX: usize = 50;
/// Skills that a rule asks for at most.
const WISHES_MAX: usize = 20;

/// A rule, with its condition compiled.
pub fn rule(rule: &proto::Rule) -> Result<(RuleSpec, Checked), ApiError> {
    let mut checker = Checker::default();
    let display_name = checker.name("rule.display_name", &rule.display_name);
    let team = checker.team(rule);
    let effects = Effects {
        priority: checker.priority(rule),
        tags: checker.tags(rule),
    };
    let wishes = checker.wishes(rule);
    let hold = rule.hold.map(|it| checker.seconds("rule.hold", it));
    let agent = checker.agent(rule);
    let restrict = checker.restrict(rule);
    let zone = rule.time_zone.trim().to_owned();
    if !zone.is_empty() && TimeZone::get(&zone).is_err() {
        checker.wrong("rule.time_zone", format!("'{zone}' is no IANA time zone"));
    }
    let condition = parse(&rule.condition, &SCHEMA);
    let condition = match condition {
        Ok(condition) => {
            for sentence in words::never(condition.condition()) {
                checker.wrong("rule.condition", sentence);
            }
            condition
        }
        Err(error) => {
            for sentence in sentences(&error) {
                checker.wrong("rule.condition", sentence);
            }
            return Err(ApiError::InvalidArgument {
                violations: checker.0,
            });
        }
    };
    let spec = RuleSpec {
        display_name,
        position: rule.position,
        condition: rule.condition.trim().to_owned(),
        tree: condition.condition().clone(),
        actions: Actions {
            team,
            agent,
            effects,
            wishes,
            vip: rule.vip,
            hold_s: u32::try_from(hold.unwrap_or(0)).unwrap_or(0),
            goes_on: rule.goes_on,
            restrict,
        },
        enabled: rule.enabled,
        zone,
    };
    checker.done((spec, condition))
}

impl Checker {
    /// A rule that goes on needs none.
    fn team(&mut self, rule: &proto::Rule) -> Option<TeamId> {
        if rule.goes_on {
            if !rule.team_id.is_empty() {
                self.wrong("rule.team_id", "a rule that goes on chooses no team");
            }
            return None;
        }
        match rule.team_id.parse::<TeamId>() {
            Ok(team) => Some(team),
            Err(error) => {
                self.wrong("rule.team_id", error.to_string());
                None
            }
        }
    }

    /// A rule that restricts is asked by the ticket service, which knows neither agents nor skills, of a ticket that is not
    /// there yet.
    fn restrict(&mut self, rule: &proto::Rule) -> Option<Restrict> {
        let wanted = rule.restrict.as_ref()?;
        for (field, set) in [
            ("rule.goes_on", rule.goes_on),
            ("rule.agent_id", !rule.agent_id.is_empty()),
            ("rule.skills", !rule.skills.is_empty()),
            ("rule.vip", rule.vip),
            ("rule.hold", rule.hold.is_some()),
        ] {
            if set {
                let wanted = "a rule that restricts sets team, priority and tags, and nothing else";
                self.wrong(field, wanted);
            }
        }
        // What is wrong for every rule is said once.
        if let Err(error) = parse(&rule.condition, &solmu_restrict::SCHEMA)
            && parse(&rule.condition, &SCHEMA).is_ok()
        {
            for sentence in sentences(&error) {
                let sentence = format!("a rule that restricts cannot ask this: {sentence}");
                self.wrong("rule.condition", sentence);
            }
        }
        if wanted.agent_ids.len() > NAMED_MAX || wanted.team_ids.len() > NAMED_MAX {
            self.wrong("rule.restrict", format!("at most {NAMED_MAX} of each"));
        }
        let teams = self.teams("rule.restrict.team_ids", &wanted.team_ids);
        let mut agents = Vec::new();
        for text in wanted.agent_ids.iter().take(NAMED_MAX) {
            match text.parse::<AgentId>() {
                Ok(agent) => agents.push(agent),
                Err(error) => self.wrong("rule.restrict.agent_ids", error.to_string()),
            }
        }
        Some(Restrict { agents, teams })
    }

    fn agent(&mut self, rule: &proto::Rule) -> Option<AgentId> {
        if rule.agent_id.is_empty() {
            return None;
        }
        match rule.agent_id.parse::<AgentId>() {
            Ok(agent) => Some(agent),
            Err(error) => {
                self.wrong("rule.agent_id", error.to_string());
                None
            }
        }
    }

    fn priority(&mut self, rule: &proto::Rule) -> Option<Priority> {
        if rule.set_priority.is_empty() {
            return None;
        }
        let priority = rule.set_priority.parse::<Priority>().ok();
        if priority.is_none() {
            self.wrong("rule.set_priority", "use low, normal, high or urgent");
        }
        priority
    }

    fn tags(&mut self, rule: &proto::Rule) -> Vec<String> {
        if rule.add_tags.len() > TAGS_MAX {
            self.wrong("rule.add_tags", format!("at most {TAGS_MAX} tags"));
        }
        let bad_tag = |tag: &String| {
            tag.trim().is_empty() || tag.chars().count() > TAG_MAX || tag.contains(char::is_control)
        };
        if rule.add_tags.iter().any(bad_tag) {
            let wanted = format!("a tag has 1 to {TAG_MAX} characters and no control characters");
            self.wrong("rule.add_tags", wanted);
        }
        let tags = rule.add_tags.iter();
        tags.map(|tag| tag.trim().to_owned()).collect()
    }

    fn wishes(&mut self, rule: &proto::Rule) -> Vec<Wish> {
        let field = "rule.skills";
        if rule.skills.len() > WISHES_MAX {
            self.wrong(field, format!("at most {WISHES_MAX} skills"));
        }
        let mut wishes = Vec::new();
        for wish in rule.skills.iter().take(WISHES_MAX) {
            let relax = wish.relax_after.map(|it| self.seconds(field, it));
            wishes.push(Wish {
                skill: self.word(field, &wish.skill),
                level: self.level(field, wish.level),
                required: wish.required,
                relax_after_s: relax.and_then(|it| u32::try_from(it).ok()),
            });
        }
        wishes
    }
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
