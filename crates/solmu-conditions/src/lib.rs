//! The one condition model of Solmu: rules of the router, policies of the SLA, automations, views and list filters.
//!
//! A [`Condition`] is data: `all`, `any` and `not` over comparisons. A [`Schema`] declares what may be compared and
//! [checks](Schema::check) it when it is saved. A [`Checked`] condition can be [evaluated](Checked::evaluate) for an
//! event, [explained](Checked::explain) to an agent, [pushed into SQL](Checked::push_sql) for a list and
//! [written](Checked::to_filter_string) in the filter grammar of AIP-160, which [`parse`] reads. All four agree; an
//! expression language was rejected because it can be neither explained by its parts nor put into SQL.
//!
//! ```
//! use solmu_conditions::{Fact, Facts, Field, FieldType, Schema, parse};
//!
//! let schema = Schema::new()
//!     .with(Field::ordered("priority", ["low", "normal", "high", "urgent"]).column("t.priority"))
//!     .with(Field::new("words", FieldType::Words).prepared_column("t.words"))
//!     .searched_in("words");
//!
//! struct Message;
//! impl Facts for Message {
//!     fn get(&self, field: &str) -> Option<Fact<'_>> {
//!         match field {
//!             "priority" => Some("high".into()),
//!             "words" => Some("Hei, toimitukseni on myöhässä!".into()),
//!             _ => None,
//!         }
//!     }
//! }
//!
//! let rule = parse("toimit* AND priority >= high", &schema)?;
//! assert!(rule.evaluate(&Message));
//! assert_eq!(rule.to_filter_string(), r#"words:"toimit*" AND priority >= "high""#);
//! # Ok::<(), solmu_conditions::FilterError>(())
//! ```

mod check;
mod compiled;
mod condition;
mod decimal;
mod evaluate;
mod explain;
mod facts;
mod filter;
mod fold;
mod fold_table;
mod limits;
mod measure;
mod scalar;
mod schema;
mod sql;
mod values;
mod violation;

pub use check::Checked;
pub use condition::{Condition, Leaf, Operator, Value};
pub use decimal::Decimal;
pub use explain::{Explanation, Found, LeafExplanation, Part};
pub use facts::{Fact, Facts};
pub use filter::{FilterError, SyntaxProblem, parse};
pub use fold::{SearchText, fold, fold_sql, spellings, words, words_sql};
pub use limits::{Limits, MAX_DEPTH};
pub use measure::{is_moment, is_number};
pub use schema::{Field, FieldType, Schema};
pub use sql::NoColumn;
pub use values::{value_of, values_by_key};
pub use violation::{Problem, Violation};
