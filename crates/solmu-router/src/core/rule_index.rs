//! Which rules could hold for a ticket, without evaluating them.
//!
//! A condition that insists on something (a comparison that stands alone or in its outermost "all") stands under that
//! one value; a ticket looks up its own values. What insists on nothing of the kind is a candidate always. The index
//! never decides: each candidate is evaluated, in the order of the rules.

use std::collections::HashMap;

use solmu_conditions::{Condition, Leaf, Operator, Value, fold, spellings, words};

use super::{
    rules::{Rule, Told},
    ticket::Facts,
};

/// Positions of rules by what they insist on.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleIndex {
    always: Vec<usize>,
    /// By field, then by value: folded where the field is compared folded.
    exact: HashMap<String, HashMap<String, Vec<usize>>>,
    /// Under their first word.
    words: HashMap<String, Vec<usize>>,
    /// Under the beginning of a word.
    beginnings: HashMap<String, Vec<usize>>,
    /// The first of those that stand under words or the sender: without a text nobody knows whether it holds.
    first_by_text: Option<usize>,
    /// The first of those that stand under a field of the contact or its organisations.
    first_by_own: Option<usize>,
}

/// What a rule stands under, the better ones first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Exact(String, Vec<String>),
    Words(Vec<String>),
    Beginnings(Vec<String>),
}

impl RuleIndex {
    pub(crate) fn of(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (position, rule) in rules.iter().enumerate() {
            match key_of(rule.condition.condition()) {
                None => index.always.push(position),
                Some(Key::Exact(field, values)) => {
                    if field == "sender" {
                        index.first_by_text.get_or_insert(position);
                    }
                    if is_own(&field) {
                        index.first_by_own.get_or_insert(position);
                    }
                    let by_value = index.exact.entry(field).or_default();
                    for value in values {
                        by_value.entry(value).or_default().push(position);
                    }
                }
                Some(Key::Words(values)) => {
                    index.first_by_text.get_or_insert(position);
                    for word in values {
                        index.words.entry(word).or_default().push(position);
                    }
                }
                Some(Key::Beginnings(starts)) => {
                    index.first_by_text.get_or_insert(position);
                    for start in starts {
                        index.beginnings.entry(start).or_default().push(position);
                    }
                }
            }
        }
        index
    }

    /// Positions of rules that could hold, in order.
    pub(crate) fn candidates(&self, facts: &Facts, told: Told<'_>) -> Vec<usize> {
        let mut found = self.always.clone();
        self.by_facts(facts, &mut found);
        match told.own {
            None => found.extend(self.first_by_own),
            Some(own) if self.first_by_own.is_some() => {
                for (field, values) in own.iter() {
                    for value in values {
                        self.look(field, &mut found, || fold(value));
                    }
                }
            }
            Some(_) => {}
        }
        match told.text {
            None => found.extend(self.first_by_text),
            Some(text) if self.first_by_text.is_some() => {
                self.look("sender", &mut found, || fold(&text.sender));
                for word in text.tokens.split(' ').filter(|word| !word.is_empty()) {
                    self.by_word(word, &mut found);
                }
            }
            Some(_) => {}
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Only fields that some rule stands under are looked at, so what no rule asks costs nothing.
    fn by_facts(&self, facts: &Facts, found: &mut Vec<usize>) {
        for (field, value) in [
            ("channel", &facts.channel),
            ("account", &facts.account),
            ("language", &facts.language),
        ] {
            if let Some(positions) = self.exact.get(field).and_then(|it| it.get(value)) {
                found.extend(positions);
            }
        }
        self.look("recipient", found, || fold(&facts.recipient));
        self.look("category", found, || fold(&facts.category));
        self.look("contact", found, || {
            facts.contact.map(|id| id.to_string()).unwrap_or_default()
        });
        for (field, values) in [
            ("tags", &facts.tags),
            ("organizations", &facts.organizations),
        ] {
            if let Some(by_value) = self.exact.get(field) {
                let positions = values.iter().filter_map(|value| by_value.get(value));
                found.extend(positions.flatten());
            }
        }
        if !self.exact.keys().any(|field| is_custom(field)) {
            return;
        }
        for (key, values) in &facts.fields {
            for value in values {
                self.look(&format!("fields.{key}"), found, || fold(value));
                self.look(key, found, || fold(value));
            }
        }
    }

    fn look(&self, field: &str, found: &mut Vec<usize>, value: impl FnOnce() -> String) {
        let by_value = self.exact.get(field);
        if let Some(positions) = by_value.and_then(|it| it.get(&value())) {
            found.extend(positions);
        }
    }

    fn by_word(&self, word: &str, found: &mut Vec<usize>) {
        if let Some(positions) = self.words.get(word) {
            found.extend(positions);
        }
        if self.beginnings.is_empty() {
            return;
        }
        for (end, letter) in word.char_indices() {
            if let Some(positions) = self.beginnings.get(&word[..end + letter.len_utf8()]) {
                found.extend(positions);
            }
        }
    }
}

/// The best of what a condition insists on.
fn key_of(condition: &Condition) -> Option<Key> {
    match condition {
        Condition::Leaf(leaf) => key_of_leaf(leaf),
        Condition::All(parts) => parts.iter().filter_map(key_of).min_by_key(breadth),
        Condition::Any(_) | Condition::Not(_) => None,
    }
}

/// Channels and languages are few, so many rules stand under each: anything else is better.
fn breadth(key: &Key) -> u8 {
    match key {
        Key::Exact(field, _) if field == "channel" => 3,
        Key::Exact(field, _) if field == "language" => 2,
        Key::Exact(..) | Key::Words(_) => 0,
        Key::Beginnings(_) => 1,
    }
}

/// Whether it is a custom field, by whichever name.
fn is_custom(field: &str) -> bool {
    field.starts_with("fields.") || ["country", "order_value"].contains(&field)
}

/// Whether it is a field of the contact or its organisations.
fn is_own(field: &str) -> bool {
    field.starts_with("contact.") || field.starts_with("organization.")
}

fn key_of_leaf(leaf: &Leaf) -> Option<Key> {
    let field = leaf.field.as_str();
    let values = match leaf.value.as_ref()? {
        Value::Text(text) => vec![text.clone()],
        Value::List(list) => list
            .iter()
            .map(|value| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect::<Option<_>>()?,
        Value::Bool(_) | Value::Integer(_) => return None,
    };
    let exact = |values| Some(Key::Exact(field.to_owned(), values));
    match (field, leaf.operator) {
        ("words", Operator::Has | Operator::In) => {
            let firsts: Option<Vec<_>> = values.iter().map(|it| first_word(it)).collect();
            Some(Key::Words(
                firsts?
                    .into_iter()
                    .flat_map(|(it, _)| spellings(it))
                    .collect(),
            ))
        }
        ("words", Operator::StartsWith) => {
            let (first, alone) = first_word(values.first()?)?;
            // Of several words, only the last is a beginning.
            Some(if alone {
                Key::Beginnings(spellings(first))
            } else {
                Key::Words(spellings(first))
            })
        }
        ("tags" | "organizations", Operator::Has | Operator::In)
        | ("channel" | "account" | "language" | "contact", Operator::Eq | Operator::In) => {
            exact(values)
        }
        ("recipient" | "sender" | "category", Operator::Eq | Operator::In) => {
            exact(values.iter().map(|value| fold(value)).collect())
        }
        (custom, Operator::Eq | Operator::In) if is_custom(custom) || is_own(custom) => {
            exact(values.iter().map(|value| fold(value)).collect())
        }
        _ => None,
    }
}

/// The first word of a text, folded, and whether it is the only one.
fn first_word(text: &str) -> Option<(String, bool)> {
    let words = words(text);
    let mut parts = words.split(' ').filter(|it| !it.is_empty());
    let first = parts.next()?.to_owned();
    Some((first, parts.next().is_none()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use solmu_conditions::parse;
    use solmu_domain::ids::ContactId;
    use solmu_inquiry::OwnFields;

    use super::*;
    use crate::core::{
        rules::{Actions, SCHEMA, Text},
        testing::{facts, rule_id},
    };

    /// Conditions of every form, over few values, so that many hold.
    const CONDITIONS: [&str; 21] = [
        "",
        "channel = chat",
        "channel = email AND account = main",
        "NOT channel = chat",
        "channel = chat OR language = fi",
        "language = (fi OR sv)",
        "tags:vip AND channel = email",
        "tags:(vip OR new)",
        "recipient = \"HELP@Example.com\"",
        "recipient = \"help@*\"",
        "words:\"myöhässä tänään\"",
        "lasku*",
        "words:\"oma lasku*\"",
        "priority >= high",
        "sender = \"Aino@Customer.example\"",
        "category = (billing OR Sales)",
        "organizations:o1",
        "fields.tier = GOLD",
        "country = fi AND channel = email",
        "order_value = 12 OR channel = chat",
        "contact = \"00000000-0000-0000-0000-000000000007\"",
    ];

    proptest! {
        #[test]
        fn the_index_loses_no_rule_that_holds(
            chat in any::<bool>(), language in 0..3_usize, tags in 0..3_usize, said in 0..4_usize, urgent in any::<bool>(),
            more in any::<[bool; 5]>(),
        ) {
            let rules: Vec<Rule> = (0..).zip(CONDITIONS).map(|(number, condition)| {
                let condition = parse(condition, &SCHEMA).unwrap();
                Rule::new(rule_id(number), 1, String::new(), condition, Actions::default())
            }).collect();
            let index = RuleIndex::of(&rules);
            let mut facts = facts(1);
            facts.channel = if chat { "chat" } else { "email" }.to_owned();
            facts.language = ["", "fi", "en"][language].to_owned();
            facts.tags = [&[][..], &["vip"], &["x", "new"]][tags].iter().map(|it| (*it).to_owned()).collect();
            if urgent {
                facts.priority = solmu_domain::ticket::Priority::Urgent;
            }
            let [sender, category, organization, fields, contact] = more;
            facts.category = if category { "Billing" } else { "" }.to_owned();
            facts.organizations = organization.then(|| "o1".to_owned()).into_iter().collect();
            facts.contact = contact.then(|| ContactId::from_uuid(uuid::Uuid::from_u128(7)));
            if fields {
                for (key, value) in [("tier", "gold"), ("country", "FI"), ("order_value", "12")] {
                    facts.fields.insert(key.to_owned(), vec!["other".to_owned(), value.to_owned()]);
                }
            }
            let sender = if sender { "aino@customer.example" } else { "" };
            let words = ["", "myohassa tanaan!", "Laskutus: oma laskuni", "Myöhässä tänään"][said];
            let text = Text::new(words, "", sender.to_owned());
            let own = OwnFields::default();
            let told = Told {
                text: Some(&text),
                own: Some(&own),
            };
            let candidates = index.candidates(&facts, told);
            for (position, rule) in rules.iter().enumerate() {
                if rule.holds(&facts, &text) {
                    prop_assert!(candidates.contains(&position), "{}", CONDITIONS[position]);
                }
            }
        }
    }
}
