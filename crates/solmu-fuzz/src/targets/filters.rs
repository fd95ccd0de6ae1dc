//! Filters of lists: text of a user that becomes SQL.

use jiff::tz::TimeZone;
use solmu_conditions::{Field, FieldType, Schema, parse};
use sqlx::{Postgres, QueryBuilder};

use super::{Target, size_class, way};

/// Pieces of the grammar.
const WORDS: [&str; 40] = [
    "status",
    "=",
    "!=",
    "<=",
    ">",
    ":",
    " AND ",
    " OR ",
    "NOT ",
    "-",
    "(",
    ")",
    "\"",
    "'",
    "*",
    "\\",
    "\\*",
    "open",
    "priority",
    "high",
    "tags:vip",
    "create_time",
    "2026-04",
    "2026-04-30",
    "-7d",
    "2026-04-30T12:00:00+02:00",
    "contact",
    "me",
    "headers.x-a",
    "=\"*@x.example\"",
    "age < 2h",
    "subject:",
    "(open OR new)",
    "words",
    ",",
    "f(",
    "\u{0}",
    "ä",
    "\u{202e}",
    "9223372036854775808",
];

/// Filters.
#[derive(Debug)]
pub(super) struct FilterTarget {
    schema: Schema,
}

impl Default for FilterTarget {
    fn default() -> Self {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let schema = Schema::new()
            .with(Field::one_of("status", ["new", "open", "closed"]).column("status"))
            .with(Field::ordered("priority", ["low", "high"]).column("priority"))
            .with(Field::new("tags", FieldType::TextSet).column("tags"))
            .with(Field::new("subject", FieldType::Text).column("subject"))
            .with(Field::new("words", FieldType::Words).column("words"))
            .with(Field::new("headers", FieldType::TextMap).column("headers"))
            .with(Field::new("create_time", FieldType::Timestamp).column("created_at"))
            .with(Field::new("age", FieldType::Duration).column("age"))
            .with(Field::new("number", FieldType::Integer).column("number"))
            .with(Field::new("amount", FieldType::Decimal).column("amount"))
            .with(Field::new("breached", FieldType::Bool).column("breached"))
            .with(Field::new("contact", FieldType::Id).column("contact_id"))
            .naming("me", "00000000-0000-0000-0000-00000000000a")
            .read_at(now, TimeZone::UTC)
            .searched_in("words");
        Self { schema }
    }
}

impl Target for FilterTarget {
    fn name(&self) -> &'static str {
        "filters"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        [
            "",
            "status = open AND (priority >= high OR tags:vip) AND NOT words:\"tilaus peru*\"",
            "create_time = 2026-04 contact = me",
            "create_time >= -7d AND age < 2h30m",
            "status = (open OR new) -subject:\"*lasku*\"",
            "headers.x-spam-flag:* OR number > -5",
            "subject = \"a\\\"b\\*\" breached = true",
            "toimit* 'vanha lasku'",
        ]
        .map(|filter| filter.as_bytes().to_vec())
        .to_vec()
    }

    fn words(&self) -> &'static [&'static str] {
        &WORDS
    }

    /// What is read is written so that it reads back the same, and no text of the user is in the SQL.
    fn read(&mut self, input: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(input);
        match parse(&text, &self.schema) {
            Ok(checked) => {
                let written = checked.to_filter_string();
                let again = parse(&written, &self.schema);
                assert_eq!(again.as_ref(), Ok(&checked), "written as {written}");
                let mut query = QueryBuilder::<Postgres>::new("");
                checked
                    .push_sql(&mut query)
                    .expect("every field has a column");
                let sql = query.sql();
                let sql = sql.as_ref();
                let quotes = sql.matches('\'').count();
                assert!(quotes % 2 == 0, "an open quote in {sql}");
                way((true, size_class(sql.len()), checked.fields()))
            }
            Err(error) => {
                let said = error.to_string();
                way((false, said.chars().take(40).collect::<String>()))
            }
        }
    }
}
