//! Pushes a condition into a query of PostgreSQL.
//!
//! The SQL holds column expressions and constants of our code; every value of a user is a bind. Absent values are NULL
//! and a comparison with NULL is NULL, which `WHERE` treats as false; `NOT` is written `IS NOT TRUE`, so that it is true
//! of NULL as in [`Checked::evaluate`]. `COALESCE` around each comparison was rejected: no index serves it.

use jiff::Timestamp;
use sqlx::{Postgres, QueryBuilder};
use thiserror::Error;
use uuid::Uuid;

use crate::check::Checked;
use crate::compiled::{Compare, CompiledLeaf, Form, Node, Presence, Test, TextTest};
use crate::condition::Operator;
use crate::fold::{Around, FOLD_SQL, WORDS_SQL};
use crate::schema::{Column, Indexed};

/// A field is declared for memory only.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the field \"{field}\" cannot be used in lists, only in rules")]
pub struct NoColumn {
    /// The declared name.
    pub field: String,
}

impl Checked {
    /// Pushes one boolean expression, in parentheses or atomic, for `WHERE`: there it selects what
    /// [`Checked::evaluate`] holds for. Elsewhere put `IS TRUE` behind it, it can be NULL. The database must use UTF-8.
    ///
    /// # Errors
    /// When a field has no column; then nothing was pushed.
    pub fn push_sql(&self, query: &mut QueryBuilder<Postgres>) -> Result<(), NoColumn> {
        let mut missing = None;
        self.root.each_leaf(&mut |leaf| {
            if leaf.column.is_none() && missing.is_none() {
                missing = Some(NoColumn {
                    field: leaf.field.clone(),
                });
            }
        });
        if let Some(error) = missing {
            return Err(error);
        }
        push_node(&self.root, query);
        Ok(())
    }

    /// Whether it asks for exact ids and for true or false only, for all of them at once. Then one plan of the database fits
    /// all values; elsewhere a plan for any value can be far from the best one for this value.
    pub fn is_of_exact_ids(&self) -> bool {
        fn is_exact(node: &Node) -> bool {
            match node {
                Node::All(parts) => parts.iter().all(is_exact),
                Node::Leaf(leaf) => {
                    matches!(leaf.test, Test::Bool(..) | Test::Id(Compare::Eq, _))
                        && leaf
                            .column
                            .as_ref()
                            .is_some_and(|column| column.within.is_none() && !column.id_set)
                }
                Node::Any(_) | Node::Not(_) => false,
            }
        }
        is_exact(&self.root)
    }

    /// Whether it selects only what has one exact value in one of these fields.
    pub fn needs_one_of(&self, fields: &[&str]) -> bool {
        fn needs(node: &Node, fields: &[&str]) -> bool {
            match node {
                Node::All(parts) => parts.iter().any(|part| needs(part, fields)),
                Node::Leaf(leaf) => {
                    fields.contains(&leaf.field.as_str())
                        && matches!(
                            leaf.test,
                            Test::Id(Compare::Eq, _)
                                | Test::Integer(Compare::Eq, _)
                                | Test::Text(_, TextTest::Eq(_))
                        )
                }
                Node::Any(_) | Node::Not(_) => false,
            }
        }
        needs(&self.root, fields)
    }
}

fn push_node(node: &Node, query: &mut QueryBuilder<Postgres>) {
    match node {
        Node::All(parts) => push_group(parts, " AND ", "TRUE", query),
        Node::Any(parts) => push_group(parts, " OR ", "FALSE", query),
        Node::Not(part) => {
            query.push("(");
            push_node(part, query);
            query.push(" IS NOT TRUE)");
        }
        Node::Leaf(leaf) => {
            // Checked by `push_sql`; a leaf without a column selects nothing.
            match &leaf.column {
                Some(column) => LeafSql { leaf, column }.push(query),
                None => {
                    query.push("FALSE");
                }
            }
        }
    }
}

fn push_group(parts: &[Node], link: &str, empty: &str, query: &mut QueryBuilder<Postgres>) {
    if parts.is_empty() {
        query.push(empty);
        return;
    }
    for (index, part) in parts.iter().enumerate() {
        query.push(if index == 0 { "(" } else { link });
        push_node(part, query);
    }
    query.push(")");
}

struct LeafSql<'a> {
    leaf: &'a CompiledLeaf,
    column: &'a Column,
}

impl LeafSql<'_> {
    fn push(&self, query: &mut QueryBuilder<Postgres>) {
        let test = &self.leaf.test;
        if self.leaf.leaf.operator != Operator::Ne || !self.column.is_of_many() {
            return self.push_within(test, query);
        }
        // There is one, and none is equal: another one that differs would say nothing.
        query.push("(");
        self.push_within(&Test::Present(test.presence()), query);
        query.push(" AND NOT ");
        self.push_within(&test.equal(), query);
        query.push(")");
    }

    fn push_within(&self, test: &Test, query: &mut QueryBuilder<Postgres>) {
        query.push("(");
        if let Some((before, _)) = self.column.within {
            query.push(before).push(" ");
        }
        self.push_test(test, query);
        if let Some((_, after)) = self.column.within {
            query.push(after);
        }
        query.push(")");
    }

    fn push_test(&self, test: &Test, query: &mut QueryBuilder<Postgres>) {
        match test {
            Test::Present(presence) => self.push_presence(*presence, query),
            // The column itself and no bind: the planner sees whether a partial index fits.
            Test::Bool(Compare::Eq, true) | Test::Bool(Compare::Ne, false) => {
                self.operand(query);
            }
            Test::Bool(Compare::Eq, false) | Test::Bool(Compare::Ne, true) => {
                query.push("NOT ");
                self.operand(query);
            }
            Test::Bool(compare, truth) => {
                self.operand(query).push(compare.sql()).push_bind(*truth);
            }
            Test::Period(inside, from, to) => self.push_period(*inside, [*from, *to], query),
            Test::Integer(..) | Test::IntegerIn(_) | Test::Decimal(..) | Test::DecimalIn(_) => {
                self.push_number(test, query);
            }
            Test::Timestamp(compare, at) => {
                self.operand(query)
                    .push(compare.sql())
                    .push_bind(at.to_string())
                    .push("::timestamptz");
            }
            Test::Duration(compare, micros) => {
                let interval = format!("{micros} microseconds");
                self.operand(query)
                    .push(compare.sql())
                    .push_bind(interval)
                    .push("::interval");
            }
            Test::Id(_, id) if self.column.id_set => self.push_overlap(vec![*id], query),
            Test::IdIn(ids) if self.column.id_set => self.push_overlap(ids.clone(), query),
            Test::Id(compare, id) => {
                self.operand(query).push(compare.sql()).push_bind(*id);
            }
            Test::IdIn(ids) => {
                self.operand(query)
                    .push(" = ANY(")
                    .push_bind(ids.clone())
                    .push(")");
            }
            Test::Text(form, test) => self.push_text(*form, test, query),
            // Such fields have no column: `push_sql` has refused them.
            Test::Measured(..) => {
                query.push("FALSE");
            }
            Test::SetHasAny(elements) => {
                self.operand(query)
                    .push(" && ")
                    .push_bind(elements.clone())
                    .push(" AND ");
                self.operand(query).push(" <> '{}'");
            }
            Test::SetStartsWith(start) => {
                query.push("EXISTS (SELECT 1 FROM unnest(");
                self.operand(query)
                    .push(") AS element WHERE element LIKE ")
                    .push_bind(prefix_pattern(start))
                    .push(")");
            }
            Test::Words(needles) => {
                let patterns: Vec<String> =
                    needles.iter().map(|needle| part_pattern(needle)).collect();
                self.around(&WORDS_SQL, query);
                query.push(" LIKE ANY(").push_bind(patterns).push(")");
            }
        }
    }

    fn push_number(&self, test: &Test, query: &mut QueryBuilder<Postgres>) {
        match test {
            Test::Integer(compare, number) => {
                self.operand(query).push(compare.sql()).push_bind(*number);
            }
            Test::IntegerIn(numbers) => {
                self.operand(query)
                    .push(" = ANY(")
                    .push_bind(numbers.clone())
                    .push(")");
            }
            Test::Decimal(compare, number) => {
                let number = number.to_string();
                if *compare != Compare::Eq || !self.push_indexed(&number, query) {
                    self.operand(query)
                        .push(compare.sql())
                        .push_bind(number)
                        .push("::numeric");
                }
            }
            Test::DecimalIn(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                self.operand(query)
                    .push(" = ANY(")
                    .push_bind(numbers)
                    .push("::numeric[])");
            }
            _ => {}
        }
    }

    fn push_period(
        &self,
        inside: bool,
        [from, to]: [Timestamp; 2],
        query: &mut QueryBuilder<Postgres>,
    ) {
        query.push(if inside { "(" } else { "NOT (" });
        self.operand(query)
            .push(" >= ")
            .push_bind(from.to_string())
            .push("::timestamptz AND ");
        self.operand(query)
            .push(" < ")
            .push_bind(to.to_string())
            .push("::timestamptz)");
    }

    /// That it is not empty is said besides, here and for texts, for indexes that leave empty ones out.
    fn push_overlap(&self, ids: Vec<Uuid>, query: &mut QueryBuilder<Postgres>) {
        self.operand(query)
            .push(" && ")
            .push_bind(ids)
            .push(" AND ");
        self.operand(query).push(" <> '{}'");
    }

    fn push_presence(&self, presence: Presence, query: &mut QueryBuilder<Postgres>) {
        match presence {
            Presence::Value if self.column.id_set => {
                self.operand(query).push(" <> '{}'");
            }
            Presence::Value | Presence::Decimal => {
                self.operand(query).push(" IS NOT NULL");
            }
            Presence::Text(form) => {
                self.text_operand(form, query);
                query.push(" <> ''");
            }
            Presence::Set => {
                query.push("cardinality(");
                self.operand(query).push(") > 0");
            }
            Presence::Words => {
                query.push("btrim(");
                self.around(&WORDS_SQL, query);
                query.push(", ' ') <> ''");
            }
        }
    }

    fn push_text(&self, form: Form, test: &TextTest, query: &mut QueryBuilder<Postgres>) {
        if let TextTest::Eq(asked) = test
            && self.push_indexed(asked, query)
        {
            return;
        }
        self.text_operand(form, query);
        match test {
            TextTest::Eq(asked) => query.push(" = ").push_bind(asked.clone()),
            TextTest::Ne(asked) => query.push(" <> ").push_bind(asked.clone()),
            TextTest::In(asked) => query.push(" = ANY(").push_bind(asked.clone()).push(")"),
            TextTest::Has(part) => query.push(" LIKE ").push_bind(part_pattern(part)),
            TextTest::StartsWith(start) => query.push(" LIKE ").push_bind(prefix_pattern(start)),
            TextTest::EndsWith(end) => query.push(" LIKE ").push_bind(format!("%{}", escaped(end))),
        };
    }

    /// Equality as an index on `jsonb` serves it; false if there is none.
    fn push_indexed(&self, asked: &str, query: &mut QueryBuilder<Postgres>) -> bool {
        let (Some(indexed), Some((key, _))) = (self.column.indexed, &self.column.key) else {
            return false;
        };
        let (jsonb, value) = match indexed {
            Indexed::Arrays(jsonb) => (jsonb, ["jsonb_build_array(", "::text)"]),
            Indexed::Texts(jsonb) => (jsonb, ["", "::text"]),
        };
        query.push(jsonb).push(" @> jsonb_build_object(");
        query.push_bind(key.clone()).push("::text, ").push(value[0]);
        query.push_bind(asked.to_owned()).push(value[1]);
        query.push(") AND ").push(jsonb).push(" <> '{}'");
        true
    }

    fn text_operand(&self, form: Form, query: &mut QueryBuilder<Postgres>) {
        match form {
            Form::Exact => {
                self.operand(query);
            }
            Form::Folded => self.around(&FOLD_SQL, query),
        }
    }

    /// The operand, prepared by `around` unless the column is already.
    fn around(&self, around: &Around, query: &mut QueryBuilder<Postgres>) {
        if self.column.prepared {
            self.operand(query);
        } else {
            query.push(&around.before);
            self.operand(query).push(&around.after);
        }
    }

    /// The column, or the text under a key of it.
    fn operand<'q>(&self, query: &'q mut QueryBuilder<Postgres>) -> &'q mut QueryBuilder<Postgres> {
        query.push("(").push(self.column.sql);
        if let Some((key, after)) = &self.column.key {
            query.push_bind(key.clone()).push(*after);
        }
        if let Some(key) = &self.leaf.key {
            query.push(" ->> ").push_bind(key.clone());
        }
        query.push(")")
    }
}

/// `text` such that `LIKE` takes each character for itself; the escape character is PostgreSQL's default.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

fn prefix_pattern(start: &str) -> String {
    format!("{}%", escaped(start))
}

fn part_pattern(part: &str) -> String {
    format!("%{}%", escaped(part))
}
