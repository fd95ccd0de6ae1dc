//! Texts with variables, as agents write them.
//!
//! Whoever may save a template must not be able to stop the service with it. So it can say values, choose between texts
//! and change their case, and nothing else: no loops, no assignments, no arithmetic, nothing that lets a value grow or
//! reaches beyond the values given. That is checked on the text itself; fuel and a cap on the output stand behind it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
};

use minijinja::{Environment, UndefinedBehavior, filters, value::Serde};
use serde::Serialize;

/// Longest template, in bytes.
pub(crate) const MAX_TEMPLATE: usize = 16 * 1024;
/// Longest text that comes of one, in bytes.
const MAX_OUTPUT: usize = 64 * 1024;
/// Instructions of one rendering; a template of the greatest length needs less.
const FUEL: u64 = 50_000;
/// What may be said of a ticket.
const VARIABLES: [&str; 9] = [
    "ticket.number",
    "ticket.subject",
    "ticket.status",
    "ticket.priority",
    "ticket.category",
    "contact.name",
    "contact.first_name",
    "contact.language",
    "agent.name",
];
/// What may stand after `{%`.
const BLOCKS: [&str; 4] = ["if", "elif", "else", "endif"];

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It is too long.
    #[error("the template is longer than {MAX_TEMPLATE} bytes")]
    TooLong,
    /// It names something that there is not.
    #[error("the template names '{0}', which there is not")]
    UnknownVariable(String),
    /// It uses what is not allowed.
    #[error("the template uses '{0}', which is not allowed")]
    NotAllowed(String),
    /// It is no template, or cannot be filled in.
    #[error("the template cannot be used: {0}")]
    Broken(String),
    /// What comes of it is too long.
    #[error("the text is longer than {MAX_OUTPUT} bytes")]
    OutputTooLong,
}

/// What the variables are.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Values {
    pub(crate) ticket: TicketValues,
    pub(crate) contact: ContactValues,
    pub(crate) agent: AgentValues,
    /// What was asked for an order of the catalogue.
    pub(crate) order: BTreeMap<String, serde_json::Value>,
}

/// Of the ticket.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct TicketValues {
    pub(crate) number: i64,
    pub(crate) subject: String,
    pub(crate) status: String,
    pub(crate) priority: String,
    pub(crate) category: String,
}

/// Of its contact.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ContactValues {
    pub(crate) name: String,
    pub(crate) first_name: String,
    pub(crate) language: String,
}

impl ContactValues {
    pub(crate) fn of(name: &str, language: &str) -> Self {
        // A contact without a name shows its address: nobody is greeted by that.
        let first = name.split_whitespace().next().unwrap_or_default();
        let first_name = if first.contains('@') { "" } else { first };
        Self {
            name: name.to_owned(),
            first_name: first_name.to_owned(),
            language: language.to_owned(),
        }
    }
}

/// Of who writes.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct AgentValues {
    pub(crate) name: String,
}

/// Whether a template can be used for every ticket: called when it is saved.
pub(crate) fn check(source: &str) -> Result<(), Unusable> {
    check_with(source, &VARIABLES, &Values::default())
}

/// Whether a template can be used where `variables` may be said, of which `empty` has all.
pub(crate) fn check_with(source: &str, variables: &[&str], empty: &Values) -> Result<(), Unusable> {
    if source.len() > MAX_TEMPLATE {
        return Err(Unusable::TooLong);
    }
    scan(source)?;
    let templates = environment();
    let template = templates
        .template_from_str(source)
        .map_err(|error| broken(&error))?;
    let named: BTreeSet<String> = template.undeclared_variables(true).into_iter().collect();
    if let Some(unknown) = named
        .into_iter()
        .find(|it| !variables.contains(&it.as_str()))
    {
        return Err(Unusable::UnknownVariable(unknown));
    }
    // Both ways of every choice on empty values are not tried, but nothing is undefined that the list has.
    render(source, empty).map(|_| ())
}

/// The text for these values.
pub(crate) fn render(source: &str, values: &Values) -> Result<String, Unusable> {
    scan(source)?;
    let templates = environment();
    let template = templates
        .template_from_str(source)
        .map_err(|error| broken(&error))?;
    let mut output = Capped(Vec::new());
    let rendered = template.render_captured_to(Serde(values), &mut output);
    if output.0.len() > MAX_OUTPUT {
        return Err(Unusable::OutputTooLong);
    }
    rendered.map_err(|error| broken(&error))?;
    Ok(String::from_utf8_lossy(&output.0).replace('\0', ""))
}

fn environment<'a>() -> Environment<'a> {
    let mut templates = Environment::empty();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.set_fuel(Some(FUEL));
    templates.add_filter("default", filters::default);
    templates.add_filter("upper", filters::upper);
    templates.add_filter("lower", filters::lower);
    templates.add_filter("title", filters::title);
    templates.add_filter("trim", filters::trim);
    templates
}

/// The first line of what the engine says: the rest shows the source.
fn broken(error: &minijinja::Error) -> Unusable {
    let text = error.to_string();
    Unusable::Broken(text.lines().next().unwrap_or_default().to_owned())
}

/// Output that ends where it is too long.
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > MAX_OUTPUT {
            return Err(io::Error::other("too long"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Looks through what stands between the brackets: known blocks, and no operators but comparisons.
fn scan(source: &str) -> Result<(), Unusable> {
    let known: HashSet<&str> = BLOCKS.into();
    let mut rest = source;
    while let Some(open) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let block = rest[open..].starts_with("{%");
        let inner = rest[open + 2..].trim_start_matches(['-', '+']);
        if block {
            let word: String = inner
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !known.contains(word.as_str()) {
                return Err(Unusable::NotAllowed(format!("{{% {word}")));
            }
        }
        rest = after_expression(inner, if block { "%}" } else { "}}" })?;
    }
    Ok(())
}

/// What comes after the expression that `text` begins with.
fn after_expression<'a>(text: &'a str, close: &str) -> Result<&'a str, Unusable> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None if text[at..].starts_with(close) => return Ok(&text[at + close.len()..]),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            // Before the end, to take white space away.
            None if c == '-' && text[at + 1..].starts_with(close) => {}
            None if c.is_alphanumeric() || c.is_whitespace() || "_.|(),=!<>".contains(c) => {}
            None => return Err(Unusable::NotAllowed(c.to_string())),
        }
    }
    Err(Unusable::Broken("a bracket is not closed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values {
            ticket: TicketValues {
                number: 1007,
                subject: "{{ agent.name }}".to_owned(),
                ..TicketValues::default()
            },
            contact: ContactValues {
                first_name: "aino".to_owned(),
                ..ContactValues::default()
            },
            ..Values::default()
        }
    }

    #[test]
    fn texts_are_filled_in_and_what_strangers_wrote_is_only_text() {
        let source = "Hi {% if contact.first_name -%} {{ contact.first_name|title }}{% else %}there{% endif %},\n\
            #{{ticket.number}} {{ ticket.subject }} {{ contact.name|default('', true) }}{# a remark #} 100 % { fine }\n";
        check(source).unwrap();
        let text = render(source, &values()).unwrap();
        assert_eq!(text, "Hi Aino,\n#1007 {{ agent.name }}  100 % { fine }");
    }

    #[test]
    fn mistakes_are_named_when_saved() {
        let named = |source: &str| check(source).unwrap_err().to_string();
        assert_eq!(
            named("{{ contact.phone }}"),
            "the template names 'contact.phone', which there is not"
        );
        assert_eq!(
            named("{% if ticket.number == 1 %}{{ nobody }}{% endif %}"),
            "the template names 'nobody', which there is not"
        );
        assert!(named("{{ ticket }}").contains("'ticket'"));
        assert!(named("{% if ticket.number %}").contains("cannot be used"));
        assert!(named("{{ ticket.number").contains("not closed"));
        assert!(named("{{ ticket.number|pprint }}").contains("cannot be used"));
        assert!(matches!(
            check(&"x".repeat(MAX_TEMPLATE + 1)),
            Err(Unusable::TooLong)
        ));
        // Undefined while rendering, though the check would have said it before.
        assert!(render("{{ contact.phone }}", &values()).is_err());
    }

    #[test]
    fn nothing_can_grow_or_reach_out() {
        for source in [
            "{% for i in 'abc' %}x{% endfor %}",
            "{%- set x = 'a' %}",
            "{% include 'x' %}",
            "{% macro f() %}{% endmacro %}",
            "{{ 'x' * 1000000 }}",
            "{{ ticket.subject ~ ticket.subject }}",
            "{{ ticket['number'] }}",
            "{{ [1, 2] }}",
            "{{ range(1000000) }}",
            "{{ ticket.__class__ }}",
        ] {
            assert!(check(source).is_err(), "{source}");
        }
        let long = Values {
            contact: ContactValues {
                name: "x".repeat(2_000),
                ..ContactValues::default()
            },
            ..Values::default()
        };
        let source = "{{ contact.name }}".repeat(800);
        check(&source).unwrap();
        assert!(matches!(
            render(&source, &long),
            Err(Unusable::OutputTooLong)
        ));
    }
}
