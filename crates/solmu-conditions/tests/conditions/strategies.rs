//! A schema with a field of every type, rows for it, and conditions over it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use solmu_conditions::{Condition, Fact, Facts, Field, FieldType, Operator, Schema, Value};
use uuid::Uuid;

pub(crate) const STATUSES: [&str; 4] = ["new", "open", "pending", "closed"];
pub(crate) const PRIORITIES: [&str; 4] = ["low", "normal", "high", "urgent"];
const TAGS: [&str; 5] = ["vip", "lasku", "Lasku", "100%", "a_b"];
const SENDERS: [&str; 5] = [
    "maija@example.fi",
    "Maija@example.fi",
    "shop@example.com",
    "a%b@example.fi",
    "",
];
const TEXTS: [&str; 22] = [
    "",
    "-",
    "sää",
    "saa",
    "SÄÄ",
    "Häiriö verkossa",
    "hairio",
    "Toimitus myöhässä!",
    "toimi\u{ad}tus",
    "100%_\\ a*b",
    "Straße",
    "STRASSE",
    "e\u{301}te\u{301}",
    "été",
    "sa\u{308}a\u{308}",
    "a\u{30a}\u{308}bo",
    "Ærø",
    "x…y",
    "lasku😀maksu",
    "SLA:n ehdot",
    "\"lainaus\" 'ja' \\",
    "rivi\nvaihto\tja\r",
];

/// Fields with plain columns.
pub(crate) fn schema() -> Schema {
    base()
        .with(Field::new("subject", FieldType::Text).column("subject"))
        .with(Field::new("words", FieldType::Words).column("body"))
        .searched_in("words")
}

/// The same fields, the searched ones with prepared columns.
pub(crate) fn prepared_schema() -> Schema {
    base()
        .with(Field::new("subject", FieldType::Text).prepared_column("subject_folded"))
        .with(Field::new("words", FieldType::Words).prepared_column("body_words"))
        .searched_in("words")
}

fn base() -> Schema {
    Schema::new()
        .with(Field::new("sender", FieldType::Keyword).column("sender"))
        .with(Field::one_of("status", STATUSES).column("status"))
        .with(Field::ordered("priority", PRIORITIES).column("priority"))
        .with(Field::new("vip", FieldType::Bool).column("vip"))
        .with(Field::new("replies", FieldType::Integer).column("replies"))
        .with(Field::new("price", FieldType::Decimal).column("price"))
        .with(Field::new("created_at", FieldType::Timestamp).column("created_at"))
        .with(Field::new("age", FieldType::Duration).column("age"))
        .with(Field::new("org", FieldType::Id).column("org"))
        .with(Field::new("tags", FieldType::TextSet).column("tags"))
        .with(Field::new("headers", FieldType::TextMap).column("headers"))
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) subject: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) sender: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) priority: Option<String>,
    pub(crate) vip: Option<bool>,
    pub(crate) replies: Option<i64>,
    pub(crate) price: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) age: Option<SignedDuration>,
    pub(crate) org: Option<Uuid>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) headers: Option<BTreeMap<String, String>>,
}

impl Facts for Row {
    fn get(&self, field: &str) -> Option<Fact<'_>> {
        if let Some(key) = field.strip_prefix("headers.") {
            return self.headers.as_ref()?.get(key).map(Fact::from);
        }
        match field {
            "subject" => self.subject.as_ref().map(Fact::from),
            "words" => self.body.as_ref().map(Fact::from),
            "sender" => self.sender.as_ref().map(Fact::from),
            "status" => self.status.as_ref().map(Fact::from),
            "priority" => self.priority.as_ref().map(Fact::from),
            "vip" => self.vip.map(Fact::from),
            "replies" => self.replies.map(Fact::from),
            "price" => self.price.as_ref().map(Fact::from),
            "created_at" => self.created_at.map(Fact::from),
            "age" => self.age.map(Fact::from),
            "org" => self.org.map(Fact::from),
            "tags" => self.tags.as_deref().map(Fact::from),
            _ => None,
        }
    }
}

/// Any text that PostgreSQL can hold, mostly one of those that are likely to meet.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(&TEXTS[..]).prop_map(str::to_owned),
        1 => vec(any::<char>().prop_filter("no NUL", |c| *c != '\0'), 0..8).prop_map(String::from_iter),
        1 => vec(select(&['a', 'A', 'o', 'ä', 'œ', 'ß', '\u{308}', '\u{30a}', '\u{301}', ' ', '*', '\\'][..]), 0..6)
            .prop_map(String::from_iter),
    ]
}

fn owned(items: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(items).prop_map(str::to_owned)
}

fn instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        (0_i64..4).prop_map(|step| 1_767_225_600_000_000 + step),
        -62_000_000_000_000_000_i64..250_000_000_000_000_000,
    ]
    .prop_map(|micros| Timestamp::from_microsecond(micros).unwrap())
}

fn span() -> impl Strategy<Value = SignedDuration> {
    prop_oneof![
        (-2_i64..3).prop_map(|step| 86_400_000_000 * step),
        -3_000_000_000_000_000_i64..3_000_000_000_000_000
    ]
    .prop_map(SignedDuration::from_micros)
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -2_i64..4, 1 => any::<i64>()]
}

/// Decimal numbers, many of them equal however they are written.
fn price() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => owned(&["0", "-0.0", "12.5", "12.50", "12.5000000001", "-3", "0.1", "99999999999999999999.9999999999"]),
        1 => (any::<i64>(), 0_u32..1_000).prop_map(|(whole, parts)| format!("{whole}.{parts}")),
    ]
}

fn id() -> impl Strategy<Value = Uuid> {
    (0_u128..4).prop_map(Uuid::from_u128)
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    let texts = (
        option::of(text()),
        option::of(text()),
        option::of(owned(&SENDERS)),
    );
    let kinds = (
        option::of(owned(&STATUSES)),
        option::of(owned(&PRIORITIES)),
        option::of(any::<bool>()),
    );
    let values = (
        (option::of(number()), option::of(price())),
        option::of(instant()),
        option::of(span()),
        option::of(id()),
    );
    let many = (
        option::of(vec(owned(&TAGS), 0..3)),
        option::of(btree_map(
            select(&["x-spam", "list-id"][..]).prop_map(str::to_owned),
            text(),
            0..3,
        )),
    );
    (texts, kinds, values, many).prop_map(
        |(
            (subject, body, sender),
            (status, priority, vip),
            ((replies, price), created_at, age, org),
            (tags, headers),
        )| Row {
            subject,
            body,
            sender,
            status,
            priority,
            vip,
            replies,
            price,
            created_at,
            age,
            org,
            tags,
            headers,
        },
    )
}

/// A value that fits the field, by the rules of its type.
fn value(kind: &FieldType) -> BoxedStrategy<Value> {
    match kind {
        FieldType::Text
        | FieldType::TextMap
        | FieldType::Value
        | FieldType::ValueMap
        | FieldType::Words => text().prop_map(Value::from).boxed(),
        FieldType::Keyword => prop_oneof![owned(&SENDERS), text()]
            .prop_map(Value::from)
            .boxed(),
        FieldType::OneOf(values) | FieldType::Ordered(values) => {
            select(values.clone()).prop_map(Value::from).boxed()
        }
        FieldType::Bool => any::<bool>().prop_map(Value::from).boxed(),
        FieldType::Integer => number().prop_map(Value::from).boxed(),
        FieldType::Decimal => prop_oneof![
            price().prop_map(Value::from),
            number().prop_map(Value::from)
        ]
        .boxed(),
        FieldType::Timestamp => instant().prop_map(|at| Value::from(at.to_string())).boxed(),
        FieldType::Duration => span()
            .prop_map(|span| Value::from(span.to_string()))
            .boxed(),
        FieldType::Id => id().prop_map(|id| Value::from(id.to_string())).boxed(),
        FieldType::TextSet => prop_oneof![owned(&TAGS), Just("la".to_owned())]
            .prop_map(Value::from)
            .boxed(),
    }
}

fn leaf() -> impl Strategy<Value = Condition> {
    let fields: Vec<Field> = schema().fields().cloned().collect();
    select(fields)
        .prop_flat_map(|field| (select(field.kind().operators()), Just(field)))
        .prop_flat_map(|(operator, field)| {
            let name = match field.kind() {
                FieldType::TextMap => format!("{}.x-spam", field.name()),
                _ => field.name().to_owned(),
            };
            match operator {
                Operator::Present => Just(Condition::present(name)).boxed(),
                Operator::In => vec(value(field.kind()), 1..4)
                    .prop_map(move |values| Condition::leaf(name.clone(), Operator::In, values))
                    .boxed(),
                operator => value(field.kind())
                    .prop_map(move |value| Condition::leaf(name.clone(), operator, value))
                    .boxed(),
            }
        })
        .prop_filter("fits the schema", |leaf| schema().check(leaf).is_ok())
}

/// Conditions that fit [`schema`].
pub(crate) fn condition() -> impl Strategy<Value = Condition> {
    leaf().prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(Condition::All),
            vec(inner.clone(), 1..4).prop_map(Condition::Any),
            inner.prop_map(Condition::negated),
        ]
    })
}
