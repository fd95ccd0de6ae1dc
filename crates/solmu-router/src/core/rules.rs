//! Rules: an ordered list of conditions; the first that holds says where a ticket goes.
//!
//! The fields that rules may look at are declared here and nowhere else. `words` and `sender` are not in events (they
//! carry no text): a rule that looks at them makes the engine ask the ticket service, and only then.

use std::{borrow::Cow, sync::LazyLock};

use solmu_conditions::{Checked, Fact, Facts as RuleFacts, Field, FieldType, Schema, SearchText};
use solmu_domain::{
    ids::{RuleId, TeamId},
    ticket::Priority,
};

use super::ticket::{Effects, Facts, Route, RuleRef};

/// Fields that only the ticket's text answers.
const TEXT_FIELDS: [&str; 2] = ["words", "sender"];
/// Channels that a rule may name.
const CHANNELS: [&str; 5] = ["email", "chat", "form", "whatsapp", "telegram"];

/// What rules may look at. A word without a field is looked for in `words`.
pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::new()
        .with(Field::one_of("channel", CHANNELS))
        .with(Field::new("account", FieldType::Keyword))
        .with(Field::new("recipient", FieldType::Text))
        .with(Field::new("sender", FieldType::Text))
        .with(Field::new("words", FieldType::Words))
        .with(Field::new("language", FieldType::Keyword))
        .with(Field::new("tags", FieldType::TextSet))
        .with(Field::ordered(
            "priority",
            Priority::ALL.map(Priority::name),
        ))
        .searched_in("words")
});

/// Whether a condition needs the ticket's text.
pub(crate) fn needs_text(condition: &Checked) -> bool {
    condition
        .fields()
        .iter()
        .any(|field| TEXT_FIELDS.contains(field))
}

/// The words of a ticket's first message and who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) words: SearchText,
    pub(crate) sender: String,
}

impl Text {
    pub(crate) fn new(subject: &str, text: &str, sender: String) -> Self {
        Self {
            words: SearchText::new(&format!("{subject}\n{text}")),
            sender,
        }
    }
}

/// A rule that is enabled.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) version: i64,
    pub(crate) name: String,
    pub(crate) condition: Checked,
    pub(crate) team: TeamId,
    pub(crate) effects: Effects,
    needs_text: bool,
}

impl Rule {
    pub(crate) fn new(
        id: RuleId,
        version: i64,
        name: String,
        condition: Checked,
        team: TeamId,
        effects: Effects,
    ) -> Self {
        let needs_text = needs_text(&condition);
        Self {
            id,
            version,
            name,
            condition,
            team,
            effects,
            needs_text,
        }
    }
}

/// All enabled rules, in order, and where the rest goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleSet {
    /// Grows with each change.
    pub(crate) version: i64,
    pub(crate) rules: Vec<Rule>,
    pub(crate) default_team: Option<TeamId>,
}

/// What the rules say of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ruling {
    To(Route),
    /// A rule that comes before any that holds looks at the text.
    NeedsText,
    /// No rule holds and there is no default team.
    NoTeam,
}

impl RuleSet {
    /// Asks the rules in order; the first that holds wins.
    pub(crate) fn rule_on(&self, facts: &Facts, text: Option<&Text>) -> Ruling {
        let known = Known { facts, text };
        for rule in &self.rules {
            if rule.needs_text && text.is_none() {
                return Ruling::NeedsText;
            }
            if rule.condition.evaluate(&known) {
                return Ruling::To(Route {
                    team: rule.team,
                    rule: Some(RuleRef {
                        id: rule.id,
                        version: rule.version,
                        name: rule.name.clone(),
                    }),
                    by_hand: false,
                    rules_version: self.version,
                    effects: rule.effects.clone(),
                });
            }
        }
        self.default_team.map_or(Ruling::NoTeam, |team| {
            Ruling::To(Route {
                team,
                rule: None,
                by_hand: false,
                rules_version: self.version,
                effects: Effects::default(),
            })
        })
    }
}

/// A ticket as conditions see it.
struct Known<'a> {
    facts: &'a Facts,
    text: Option<&'a Text>,
}

impl RuleFacts for Known<'_> {
    fn get(&self, field: &str) -> Option<Fact<'_>> {
        let facts = self.facts;
        match field {
            "channel" => some(&facts.channel),
            "account" => some(&facts.account),
            "recipient" => some(&facts.recipient),
            "language" => some(&facts.language),
            "tags" => Some(Fact::Set(Cow::Borrowed(&facts.tags))),
            "priority" => Some(Fact::from(facts.priority.name())),
            "words" => self.text.map(|text| Fact::from(&text.words)),
            "sender" => self.text.and_then(|text| some(&text.sender)),
            _ => None,
        }
    }
}

fn some(text: &str) -> Option<Fact<'_>> {
    (!text.is_empty()).then(|| Fact::from(text))
}

#[cfg(test)]
mod tests {
    use solmu_conditions::parse;

    use super::*;
    use crate::core::testing::{facts, rule_id, team};

    fn rule(id: u128, condition: &str, to: u128) -> Rule {
        let condition = parse(condition, &SCHEMA).unwrap();
        let effects = Effects {
            priority: Some(Priority::High),
            tags: vec!["by-rule".to_owned()],
        };
        Rule::new(
            rule_id(id),
            3,
            format!("r{id}"),
            condition,
            team(to),
            effects,
        )
    }

    fn team_of(ruling: &Ruling) -> Option<TeamId> {
        match ruling {
            Ruling::To(route) => Some(route.team),
            Ruling::NeedsText | Ruling::NoTeam => None,
        }
    }

    #[test]
    fn first_match_wins_and_the_rest_goes_to_the_default_team() {
        let rules = RuleSet {
            version: 7,
            rules: vec![
                rule(1, "channel = chat", 11),
                rule(2, "recipient = \"Billing@*\" AND language = fi", 12),
                rule(3, "language = fi", 13),
            ],
            default_team: Some(team(1)),
        };
        let mut facts = facts(1);
        assert_eq!(team_of(&rules.rule_on(&facts, None)), Some(team(1)));
        facts.language = "fi".to_owned();
        assert_eq!(team_of(&rules.rule_on(&facts, None)), Some(team(13)));
        facts.recipient = "billing@example.com".to_owned();
        let ruling = rules.rule_on(&facts, None);
        assert_eq!(team_of(&ruling), Some(team(12)));
        let Ruling::To(route) = ruling else {
            panic!("a rule holds")
        };
        assert_eq!(route.rules_version, 7);
        assert_eq!(
            route.rule.map(|rule| (rule.id, rule.version)),
            Some((rule_id(2), 3))
        );
        assert_eq!(route.effects.priority, Some(Priority::High));
    }

    #[test]
    fn text_is_asked_for_only_when_a_rule_in_front_needs_it() {
        let rules = RuleSet {
            version: 1,
            rules: vec![rule(1, "channel = chat", 11), rule(2, "lasku*", 12)],
            default_team: Some(team(1)),
        };
        let mut facts = facts(1);
        assert_eq!(rules.rule_on(&facts, None), Ruling::NeedsText);
        let text = Text::new("Laskuni", "on väärin", "a@example.com".to_owned());
        assert_eq!(team_of(&rules.rule_on(&facts, Some(&text))), Some(team(12)));
        let other = Text::new("Moi", "", String::new());
        assert_eq!(team_of(&rules.rule_on(&facts, Some(&other))), Some(team(1)));
        facts.channel = "chat".to_owned();
        assert_eq!(team_of(&rules.rule_on(&facts, None)), Some(team(11)));
    }

    #[test]
    fn without_a_team_nothing_is_chosen() {
        assert_eq!(RuleSet::default().rule_on(&facts(1), None), Ruling::NoTeam);
    }
}
