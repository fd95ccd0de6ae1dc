//! What stands around an agent's answer: greeting, signature, number of the ticket.
//!
//! Templates are the operator's, so they are checked at start and not at the first answer. They run with nothing but
//! the values below: no includes, no loops over the world, a bound on steps and on length. A template that fails on a
//! message is logged, and the answer goes out as the agent wrote it: a customer without an answer is worse served than
//! one without a signature.

use std::io;

use minijinja::{Environment, UndefinedBehavior, filters, value::Serde};
use serde::Serialize;

/// Steps of one rendering; a template of a page takes some hundred.
const FUEL: u64 = 20_000;
/// Bytes of one rendering besides the body: what is longer is a mistake.
const OUTPUT_MAX: usize = 256 * 1024;
/// Name of the one template.
const NAME: &str = "reply";
/// Stands for the body while the text around it is made into HTML. Private-use characters are in no template.
const BODY_PLACE: &str = "\u{F8F0}body\u{F8F1}";

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It does not parse, names an unknown value or takes too many steps.
    #[error("the template does not work")]
    Broken(#[from] minijinja::Error),
    /// The answer itself is not in it.
    #[error("the template does not contain {{{{ body }}}}")]
    NoBody,
}

/// What a template may use.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Values<'a> {
    /// What the agent wrote.
    pub(super) body: &'a str,
    /// The agent's name.
    pub(super) agent: &'a str,
    /// Number of the ticket.
    pub(super) ticket: i64,
    /// Display name of the account.
    pub(super) account: &'a str,
    /// Signature of the account.
    pub(super) signature: &'a str,
}

/// A template that was checked.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
}

impl Template {
    /// Parses and tries it.
    pub(super) fn new(source: &str) -> Result<Self, TemplateError> {
        // Nothing is there that is not put there: no functions, no loader.
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("trim", filters::trim);
        environment.add_filter("upper", filters::upper);
        environment.add_filter("lower", filters::lower);
        environment.add_template_owned(NAME, source.to_owned())?;
        let template = Self { environment };
        let sample = Values {
            body: BODY_PLACE,
            agent: "Agent",
            ticket: 1,
            account: "Account",
            signature: "Signature",
        };
        if template.text(&sample)?.contains(BODY_PLACE) {
            Ok(template)
        } else {
            Err(TemplateError::NoBody)
        }
    }

    /// The whole text.
    pub(super) fn text(&self, values: &Values<'_>) -> Result<String, TemplateError> {
        let mut limited = Limited {
            bytes: Vec::new(),
            left: OUTPUT_MAX + values.body.len(),
        };
        self.environment
            .get_template(NAME)?
            .render_captured_to(Serde(values), &mut limited)?;
        Ok(String::from_utf8_lossy(&limited.bytes).into_owned())
    }

    /// The same around a body of HTML: what the template adds is text, and is escaped.
    pub(super) fn html(
        &self,
        values: &Values<'_>,
        body_html: &str,
    ) -> Result<String, TemplateError> {
        let around = self.text(&Values {
            body: BODY_PLACE,
            ..values.clone()
        })?;
        Ok(escaped(around.trim()).replace(BODY_PLACE, body_html))
    }
}

/// Text as HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\n' => html.push_str("<br>\n"),
            '\r' => {}
            other => html.push(other),
        }
    }
    html
}

/// Takes so many bytes and no more.
struct Limited {
    bytes: Vec<u8>,
    left: usize,
}

impl io::Write for Limited {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(part.len())
            .ok_or_else(|| io::Error::other("the template writes too much"))?;
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'static> = Values {
        body: "Hei <Päivi>",
        agent: "Ville",
        ticket: 42,
        account: "Support",
        signature: "Solmu Oy",
    };

    #[test]
    fn text_and_html_say_the_same() {
        let source = "{{ body }}\n\n-- \n{{ agent }} & co{% if ticket %} #{{ ticket }}{% endif %}\n{{ signature|upper }}\n";
        let template = Template::new(source).unwrap();
        assert_eq!(
            template.text(&VALUES).unwrap(),
            "Hei <Päivi>\n\n-- \nVille & co #42\nSOLMU OY"
        );
        assert_eq!(
            template.html(&VALUES, "<p>Hei</p>").unwrap(),
            "<p>Hei</p><br>\n<br>\n-- <br>\nVille &amp; co #42<br>\nSOLMU OY"
        );
    }

    #[test]
    fn mistakes_are_found_at_start() {
        for source in [
            "{{ body",
            "{{ body }}{{ customer }}",
            "{{ body }}{% include 'x' %}",
            "{{ body }}{{ range(10) }}",
            "{{ body }}{% for a in agent %}{% for b in account %}{% for c in signature %}{{ body }}{% endfor %}{% endfor %}{% endfor %}{% for i in 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' %}{% for i in 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' %}{% for i in 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' %}{{ i }}{% endfor %}{% endfor %}{% endfor %}",
        ] {
            assert!(
                matches!(Template::new(source), Err(TemplateError::Broken(_))),
                "{source}"
            );
        }
        assert!(matches!(
            Template::new("Hello {{ agent }}"),
            Err(TemplateError::NoBody)
        ));
    }

    #[test]
    fn length_has_a_bound() {
        let source = "{% for letter in signature %}{{ body }}{% endfor %}";
        let template = Template::new(source).unwrap();
        let body = "x".repeat(OUTPUT_MAX);
        let values = Values {
            body: &body,
            ..VALUES
        };
        assert!(template.text(&values).is_err());
    }
}
