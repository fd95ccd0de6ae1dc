//! Rules: an ordered list of conditions; the first that holds says where a ticket goes.
//!
//! A rule may let the ones behind it go on: what it sets is added to what they set. Rules are found by what they
//! insist on (an index over channel, account, language, tags and words), so that of ten thousand only those are
//! evaluated that could hold.
//!
//! What rules may look at, and what they do, is declared in `solmu-roster`.

use jiff::tz::TimeZone;
use solmu_conditions::{Checked, Explanation, SearchText, words};
use solmu_domain::ids::{RuleId, TeamId};
use solmu_inquiry::{OwnFields, Watched};
pub(crate) use solmu_roster::rule::{Actions, SCHEMA, needs_text};

use super::{
    rule_facts::Known,
    rule_index::RuleIndex,
    ticket::{Effects, Facts, Route, RuleRef},
};

/// The words of a ticket's first message and who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) words: SearchText,
    /// The words alone, for the index.
    pub(super) tokens: String,
    pub(crate) sender: String,
}

impl Text {
    pub(crate) fn new(subject: &str, text: &str, sender: String) -> Self {
        let text = format!("{subject}\n{text}");
        Self {
            words: SearchText::new(&text),
            tokens: words(&text),
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
    pub(crate) actions: Actions,
    position: i32,
    /// Of its `hour` and `weekday`; absent: that of the set.
    zone: Option<TimeZone>,
    pub(super) needs_text: bool,
    /// What it looks at of the contact and its organisations.
    pub(super) watched: Watched,
}

impl Rule {
    /// With its place in the order of rules.
    pub(crate) fn at(mut self, position: i32) -> Self {
        self.position = position;
        self
    }

    /// With a zone of its own.
    pub(crate) fn in_zone(mut self, zone: Option<TimeZone>) -> Self {
        self.zone = zone;
        self
    }

    pub(crate) fn new(
        id: RuleId,
        version: i64,
        name: String,
        condition: Checked,
        actions: Actions,
    ) -> Self {
        let needs_text = needs_text(&condition);
        Self {
            id,
            version,
            name,
            watched: Watched::of(&condition),
            condition,
            actions,
            position: 0,
            zone: None,
            needs_text,
        }
    }

    #[cfg(test)]
    pub(super) fn holds(&self, facts: &Facts, text: &Text) -> bool {
        self.condition.evaluate(&Known {
            facts,
            told: Told {
                text: Some(text),
                own: Some(&OwnFields::default()),
            },
            zone: None,
        })
    }

    /// Why it holds for a ticket, or does not. Without a zone of its own it is read in `zone`.
    pub(crate) fn explain(
        &self,
        facts: &Facts,
        told: Told<'_>,
        zone: Option<&TimeZone>,
    ) -> Explanation {
        self.condition.explain(&Known {
            facts,
            told,
            zone: self.zone.as_ref().or(zone),
        })
    }

    fn reference(&self) -> RuleRef {
        RuleRef {
            id: self.id,
            version: self.version,
            name: self.name.clone(),
        }
    }
}

/// All enabled rules, in order, and where the rest goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleSet {
    /// Grows with each change.
    pub(crate) version: i64,
    rules: Vec<Rule>,
    index: RuleIndex,
    pub(crate) default_team: Option<TeamId>,
    /// What rules look at of contacts and organisations.
    watched: Watched,
    /// Of the fields `hour` and `weekday`; absent: UTC.
    zone: Option<TimeZone>,
}

/// What the ticket service was asked about a ticket; what is absent is not known (yet).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told<'a> {
    pub(crate) text: Option<&'a Text>,
    pub(crate) own: Option<&'a OwnFields>,
}

/// What the rules say of a ticket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ruling {
    To(Route),
    /// A rule that comes before any that holds looks at the text.
    NeedsText,
    /// Such a rule looks at fields of the contact or its organisations.
    NeedsOwn,
    /// No rule holds and there is no default team.
    NoTeam,
}

impl RuleSet {
    pub(crate) fn new(version: i64, rules: Vec<Rule>, default_team: Option<TeamId>) -> Self {
        let mut watched = Watched::default();
        for rule in &rules {
            watched.add(&rule.watched);
        }
        Self {
            version,
            index: RuleIndex::of(&rules),
            rules,
            default_team,
            watched,
            zone: None,
        }
    }

    /// The rules with one of them replaced, added or taken out.
    pub(crate) fn with(&self, replaced: Option<RuleId>, new: Option<Rule>) -> Self {
        let others = self.rules.iter().filter(|rule| Some(rule.id) != replaced);
        let mut rules: Vec<Rule> = others.cloned().chain(new).collect();
        rules.sort_by_key(|rule| (rule.position, rule.id));
        Self {
            zone: self.zone.clone(),
            ..Self::new(self.version, rules, self.default_team)
        }
    }

    /// With the zone of the fields `hour` and `weekday`.
    pub(crate) fn in_zone(mut self, zone: TimeZone) -> Self {
        self.zone = Some(zone);
        self
    }

    /// Of the fields `hour` and `weekday`, where a rule has none of its own.
    pub(crate) const fn zone(&self) -> Option<&TimeZone> {
        self.zone.as_ref()
    }

    /// The rules in order, up to and with the one that chooses the team for a ticket.
    pub(crate) fn asked_about(&self, facts: &Facts, told: Told<'_>) -> Vec<&Rule> {
        let mut asked = Vec::new();
        for rule in &self.rules {
            asked.push(rule);
            let ends = rule.actions.team.is_some() && !rule.actions.goes_on;
            if ends && rule.explain(facts, told, self.zone()).outcome {
                break;
            }
        }
        asked
    }

    /// What rules look at of contacts and organisations.
    pub(crate) const fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Asks the rules in order; the first that holds and does not go on chooses the team.
    pub(crate) fn rule_on(&self, facts: &Facts, told: Told<'_>) -> Ruling {
        self.rule_counting(facts, told).0
    }

    /// As [`RuleSet::rule_on`], and how many rules were evaluated for it.
    pub(crate) fn rule_counting(&self, facts: &Facts, told: Told<'_>) -> (Ruling, usize) {
        let mut route = Route {
            team: TeamId::from_uuid(uuid::Uuid::nil()),
            rule: None,
            also: Vec::new(),
            by_hand: false,
            rules_version: self.version,
            effects: Effects::default(),
            wishes: Vec::new(),
            vip: false,
            agent: None,
            hold_s: 0,
        };
        let mut evaluated = 0;
        for index in self.index.candidates(facts, told) {
            let rule = &self.rules[index];
            if rule.needs_text && told.text.is_none() {
                return (Ruling::NeedsText, evaluated);
            }
            if told.own.is_none() && !rule.watched.is_empty() {
                return (Ruling::NeedsOwn, evaluated);
            }
            evaluated += 1;
            let known = Known {
                facts,
                told,
                zone: rule.zone.as_ref().or(self.zone.as_ref()),
            };
            if !rule.condition.evaluate(&known) {
                continue;
            }
            add(&mut route, &rule.actions);
            match rule.actions.team {
                Some(team) if !rule.actions.goes_on => {
                    route.team = team;
                    route.rule = Some(rule.reference());
                    return (Ruling::To(route), evaluated);
                }
                _ => route.also.push(rule.reference()),
            }
        }
        let ruling = self.default_team.map_or(Ruling::NoTeam, |team| {
            route.team = team;
            Ruling::To(route)
        });
        (ruling, evaluated)
    }
}

/// Adds what a rule sets. What an earlier rule has said stays, and the more urgent priority counts.
fn add(route: &mut Route, actions: &Actions) {
    let priority = actions.effects.priority;
    route.effects.priority = route.effects.priority.max(priority);
    for tag in &actions.effects.tags {
        if !route.effects.tags.contains(tag) {
            route.effects.tags.push(tag.clone());
        }
    }
    for wish in &actions.wishes {
        if !route.wishes.iter().any(|known| known.skill == wish.skill) {
            route.wishes.push(wish.clone());
        }
    }
    route.vip |= actions.vip;
    route.agent = route.agent.or(actions.agent);
    route.hold_s = route.hold_s.max(actions.hold_s);
}

#[cfg(test)]
mod tests {
    use solmu_conditions::parse;
    use solmu_domain::ticket::Priority;
    use solmu_roster::rule::Wish;

    use super::*;
    use crate::core::testing::{facts, rule_id, team};

    fn rule(id: u128, condition: &str, to: u128) -> Rule {
        let condition = parse(condition, &SCHEMA).unwrap();
        let effects = Effects {
            priority: Some(Priority::High),
            tags: vec!["by-rule".to_owned()],
        };
        let actions = Actions {
            team: Some(team(to)),
            effects,
            ..Actions::default()
        };
        Rule::new(rule_id(id), 3, format!("r{id}"), condition, actions)
    }

    fn going_on(id: u128, condition: &str, actions: Actions) -> Rule {
        let actions = Actions {
            goes_on: true,
            ..actions
        };
        Rule {
            actions,
            ..rule(id, condition, 0)
        }
    }

    fn team_of(ruling: &Ruling) -> Option<TeamId> {
        match ruling {
            Ruling::To(route) => Some(route.team),
            Ruling::NeedsText | Ruling::NeedsOwn | Ruling::NoTeam => None,
        }
    }

    /// The ticket service told nothing, or only the words.
    fn none() -> Told<'static> {
        Told::default()
    }

    fn said(text: &Text) -> Told<'_> {
        Told {
            text: Some(text),
            own: None,
        }
    }

    #[test]
    fn first_match_wins_and_the_rest_goes_to_the_default_team() {
        let rules = vec![
            rule(1, "channel = chat", 11),
            rule(2, "recipient = \"Billing@*\" AND language = fi", 12),
            rule(3, "language = fi", 13),
        ];
        let rules = RuleSet::new(7, rules, Some(team(1)));
        let mut facts = facts(1);
        assert_eq!(team_of(&rules.rule_on(&facts, none())), Some(team(1)));
        facts.language = "fi".to_owned();
        assert_eq!(team_of(&rules.rule_on(&facts, none())), Some(team(13)));
        facts.recipient = "billing@example.com".to_owned();
        let ruling = rules.rule_on(&facts, none());
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
        let rules = vec![rule(1, "channel = chat", 11), rule(2, "lasku*", 12)];
        let rules = RuleSet::new(1, rules, Some(team(1)));
        let mut facts = facts(1);
        assert_eq!(rules.rule_on(&facts, none()), Ruling::NeedsText);
        let text = Text::new("Laskuni", "on väärin", "a@example.com".to_owned());
        assert_eq!(team_of(&rules.rule_on(&facts, said(&text))), Some(team(12)));
        let other = Text::new("Moi", "", String::new());
        assert_eq!(team_of(&rules.rule_on(&facts, said(&other))), Some(team(1)));
        facts.channel = "chat".to_owned();
        assert_eq!(team_of(&rules.rule_on(&facts, none())), Some(team(11)));
    }

    #[test]
    fn without_a_team_nothing_is_chosen() {
        assert_eq!(
            RuleSet::default().rule_on(&facts(1), none()),
            Ruling::NoTeam
        );
    }

    #[test]
    fn a_rule_that_goes_on_adds_what_it_sets() {
        let wish = |skill: &str| Wish {
            skill: skill.to_owned(),
            level: 2,
            required: true,
            relax_after_s: Some(60),
        };
        let rules = vec![
            going_on(
                1,
                "tags:vip",
                Actions {
                    vip: true,
                    wishes: vec![wish("calm")],
                    effects: Effects {
                        priority: Some(Priority::Low),
                        tags: vec!["seen".to_owned(), "by-rule".to_owned()],
                    },
                    ..Actions::default()
                },
            ),
            rule(2, "tags:vip", 12),
            rule(3, "", 13),
        ];
        let rules = RuleSet::new(1, rules, None);
        let mut facts = facts(1);
        facts.tags.push("vip".to_owned());
        let Ruling::To(route) = rules.rule_on(&facts, none()) else {
            panic!("a rule holds")
        };
        assert_eq!(route.team, team(12));
        assert!(route.vip);
        assert_eq!(route.wishes, [wish("calm")]);
        assert_eq!(route.effects.priority, Some(Priority::High));
        assert_eq!(route.effects.tags, ["seen", "by-rule"]);
        assert_eq!(route.also.len(), 1);
        assert_eq!(route.rule.map(|rule| rule.id), Some(rule_id(2)));
        // Nobody behind it chooses: what it sets goes with the default team.
        let alone = vec![going_on(
            1,
            "",
            Actions {
                vip: true,
                ..Actions::default()
            },
        )];
        let alone = RuleSet::new(1, alone, Some(team(1)));
        let Ruling::To(route) = alone.rule_on(&facts, none()) else {
            panic!("there is a default team")
        };
        assert!(route.vip && route.rule.is_none() && route.team == team(1));
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        let rules = vec![rule(1, "hour >= 16 AND weekday = thu", 11)];
        let rules = RuleSet::new(1, rules, Some(team(1)));
        // 1970-01-01 was a Thursday; 14:30 UTC is 16:30 in Helsinki.
        let facts = facts(14 * 3600 + 1800);
        assert_eq!(team_of(&rules.rule_on(&facts, none())), Some(team(1)));
        let rules = rules.in_zone(TimeZone::get("Europe/Helsinki").unwrap());
        assert_eq!(team_of(&rules.rule_on(&facts, none())), Some(team(11)));
        // A rule may have a zone of its own: 14:30 UTC is 23:30 in Tokyo.
        let tokyo = TimeZone::get("Asia/Tokyo").ok();
        let late = rule(2, "hour = 23 AND weekday = thu", 12).in_zone(tokyo);
        let set = rules.with(Some(rule_id(1)), Some(late));
        assert_eq!(team_of(&set.rule_on(&facts, none())), Some(team(12)));
    }

    #[test]
    fn custom_fields_are_compared_as_numbers_and_days() {
        let rules = vec![
            rule(1, "order_value >= 1000.50", 11),
            rule(2, "fields.deliver_by < 2026-12", 12),
            rule(3, "country = (fi OR se)", 13),
            rule(4, "fields.products = lamp", 14),
        ];
        let rules = RuleSet::new(1, rules, Some(team(1)));
        for (key, values, to) in [
            ("order_value", &["1000.5"][..], 11),
            ("order_value", &["1000.49"], 1),
            ("order_value", &["much"], 1),
            ("deliver_by", &["2026-11-30"], 12),
            ("deliver_by", &["2026-12-01"], 1),
            ("country", &["FI"], 13),
            ("country", &["DE"], 1),
            ("products", &["chair", "Lamp"], 14),
        ] {
            let mut facts = facts(1);
            let values = values.iter().map(|it| (*it).to_owned()).collect();
            facts.fields.insert(key.to_owned(), values);
            let found = team_of(&rules.rule_on(&facts, none()));
            assert_eq!(found, Some(team(to)), "{key} {facts:?}");
        }
    }

    #[test]
    fn of_ten_thousand_rules_few_are_evaluated_and_the_answer_is_the_same() {
        let mut rules = Vec::new();
        for number in 0..10_000_u128 {
            let condition = match number % 5 {
                0 => format!("account = \"a{number}\" AND channel = email"),
                1 => format!("words:\"topic{number}\""),
                2 => format!("tags:t{number}"),
                3 => format!("topic{number}x*"),
                _ => format!("recipient = \"box{number}@example.com\""),
            };
            rules.push(rule(number, &condition, 100 + number));
        }
        let rules = RuleSet::new(1, rules, Some(team(1)));
        let text = Text::new("About topic5003xyz", "and topic6001", String::new());
        let mut facts = facts(1);
        facts.account = "a7000".to_owned();
        let (ruling, evaluated) = rules.rule_counting(&facts, said(&text));
        assert_eq!(team_of(&ruling), Some(team(100 + 5_003)));
        assert!(evaluated <= 3, "{evaluated}");
        facts.tags.push("t4002".to_owned());
        let (ruling, _) = rules.rule_counting(&facts, said(&text));
        assert_eq!(team_of(&ruling), Some(team(100 + 4_002)));
        assert_eq!(rules.rule_on(&facts, none()), Ruling::NeedsText);
    }
}
