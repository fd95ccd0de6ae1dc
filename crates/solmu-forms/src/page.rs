//! The HTML of a form.
//!
//! Works without scripts. Errors stand in a summary that takes the focus, link to their fields, and are tied to them by
//! `aria-describedby` (WCAG 2.2: 1.3.1, 1.3.5, 3.3.1 to 3.3.3). What was typed is kept.

use std::collections::BTreeMap;

use minijinja::{Environment, value::Serde};
use serde::Serialize;
use serde_json::Value;

use crate::{
    config::Widget,
    definition::{Field, Form, plain},
    submission::Submission,
    validate::FieldError,
    words::{Words, words},
};

/// The style sheet of the pages.
pub(crate) const STYLE: &str = include_str!("../assets/form.css");
/// Shows and hides fields that depend on others, where scripts run.
pub(crate) const SCRIPT: &str = include_str!("../assets/form.js");

/// Templates, parsed once.
#[derive(Debug)]
pub(crate) struct Pages(Environment<'static>);

/// What a page shows besides the form itself.
#[derive(Debug, Default)]
pub(crate) struct Shown<'a> {
    pub(crate) token: String,
    pub(crate) post: Option<&'a Submission>,
    pub(crate) errors: &'a [FieldError],
    /// A sentence about the whole post.
    pub(crate) problem: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Page<'a> {
    id: &'a str,
    language: &'a str,
    languages: Vec<Link<'a>>,
    title: &'a str,
    intro: Option<&'a str>,
    honeypot: &'a str,
    token: &'a str,
    problem: Option<&'a str>,
    errors: Vec<&'a FieldError>,
    fields: Vec<View<'a>>,
    words: &'static Words,
}

#[derive(Debug, Serialize)]
struct Link<'a> {
    code: &'a str,
    current: bool,
}

#[derive(Debug, Serialize)]
struct View<'a> {
    name: &'a str,
    label: &'a str,
    hint: Option<&'a str>,
    control: &'static str,
    input_type: &'static str,
    required: bool,
    max_length: Option<u64>,
    autocomplete: Option<&'a str>,
    described_by: String,
    error: Option<&'a str>,
    value: String,
    options: Vec<Choice>,
    visible_field: Option<&'a str>,
    visible_value: Option<String>,
}

#[derive(Debug, Serialize)]
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

impl Pages {
    /// Parses the templates.
    pub(crate) fn new() -> Self {
        let mut templates = Environment::new();
        let sources = [
            ("layout.html", include_str!("../templates/layout.html")),
            ("form.html", include_str!("../templates/form.html")),
            ("thanks.html", include_str!("../templates/thanks.html")),
        ];
        for (name, source) in sources {
            templates
                .add_template(name, source)
                .expect("the templates are part of the program and tested");
        }
        Self(templates)
    }

    /// The form, empty or with what was typed and what is wrong.
    pub(crate) fn form(
        &self,
        form: &Form,
        language: &str,
        shown: &Shown<'_>,
    ) -> Result<String, minijinja::Error> {
        let none = BTreeMap::new();
        let typed = shown.post.map_or(&none, |post| &post.typed);
        let definition = &form.definition;
        let page = Page {
            id: form.id(),
            language,
            languages: links(form, language),
            title: form.text(&definition.title, language).unwrap_or(form.id()),
            intro: form.text(&definition.intro, language),
            honeypot: &definition.honeypot,
            token: &shown.token,
            problem: shown.problem,
            errors: shown.errors.iter().collect(),
            fields: form
                .fields
                .iter()
                .map(|field| view(form, field, language, typed, shown.errors))
                .collect(),
            words: words(language),
        };
        self.0.get_template("form.html")?.render(Serde(page))
    }

    /// The page after an accepted post.
    pub(crate) fn thanks(
        &self,
        form: &Form,
        language: &str,
        reference: Option<&str>,
    ) -> Result<String, minijinja::Error> {
        let words = words(language);
        let page = BTreeMap::from([
            ("language", Value::from(language)),
            ("title", Value::from(words.thanks_title)),
            (
                "thanks",
                form.text(&form.definition.thanks, language).into(),
            ),
            ("reference", reference.into()),
            ("reference_label", Value::from(words.reference)),
        ]);
        self.0.get_template("thanks.html")?.render(Serde(page))
    }
}

fn links<'a>(form: &'a Form, language: &str) -> Vec<Link<'a>> {
    let all = form.languages();
    if all.len() < 2 {
        return Vec::new();
    }
    all.into_iter()
        .map(|code| Link {
            code,
            current: code == language,
        })
        .collect()
}

fn view<'a>(
    form: &'a Form,
    field: &'a Field,
    language: &'a str,
    typed: &BTreeMap<String, Vec<String>>,
    errors: &'a [FieldError],
) -> View<'a> {
    let typed = typed
        .get(&field.name)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let hint = form.text(&field.ui.hint, language);
    let error = errors
        .iter()
        .find(|error| error.field == field.name)
        .map(|error| error.message.as_str());
    let mut described_by = Vec::new();
    if hint.is_some() {
        described_by.push(format!("{}-hint", field.name));
    }
    if error.is_some() {
        described_by.push(format!("{}-error", field.name));
    }
    let options = field.options.iter().map(|option| {
        let value = plain(option);
        Choice {
            chosen: typed.contains(&value),
            label: form.option_label(field, option, language),
            value,
        }
    });
    let (control, input_type) = control(field.widget);
    View {
        name: &field.name,
        label: form.label(field, language),
        hint,
        control,
        input_type,
        required: field.required,
        max_length: field.max_length,
        autocomplete: field.ui.autocomplete.as_deref(),
        described_by: described_by.join(" "),
        error,
        value: typed.last().cloned().unwrap_or_default(),
        options: options.collect(),
        visible_field: field.ui.visible_if.as_ref().map(|rule| rule.field.as_str()),
        visible_value: field.ui.visible_if.as_ref().map(|rule| plain(&rule.equals)),
    }
}

const fn control(widget: Widget) -> (&'static str, &'static str) {
    match widget {
        // A number too: type=number drops what it does not understand, and changes when scrolled over.
        Widget::Text | Widget::Number => ("input", "text"),
        Widget::Email => ("input", "email"),
        Widget::Tel => ("input", "tel"),
        Widget::Url => ("input", "url"),
        Widget::Date => ("input", "date"),
        Widget::Textarea => ("textarea", ""),
        Widget::Select => ("select", ""),
        Widget::Checkbox => ("checkbox", ""),
        Widget::Checkboxes => ("checkboxes", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{builtin, submission::from_page, validate::validate};

    #[test]
    fn an_empty_form_is_labelled() {
        let form = Form::compile(builtin::contact()).unwrap();
        let html = Pages::new()
            .form(
                &form,
                "fi",
                &Shown {
                    token: "t.1.x".to_owned(),
                    ..Shown::default()
                },
            )
            .unwrap();
        for part in [
            "<html lang=\"fi\">",
            "<title>Ota yhteyttä</title>",
            "<label for=\"email\">Sähköpostiosoite</label>",
            "<input id=\"email\" name=\"email\" type=\"email\" required maxlength=\"254\" autocomplete=\"email\"",
            "<textarea id=\"message\" name=\"message\"",
            "name=\"website\" tabindex=\"-1\" autocomplete=\"off\"",
            "name=\"_token\" value=\"t.1.x\"",
            "<button type=\"submit\">Lähetä</button>",
            "hreflang=\"sv\"",
        ] {
            assert!(html.contains(part), "{part} is not in\n{html}");
        }
        assert!(
            !html.contains("aria-invalid")
                && !html.contains("role=\"alert\"")
                && !html.contains("<style")
        );
    }

    #[test]
    fn errors_are_tied_to_their_fields_and_the_answers_are_kept_and_escaped() {
        let form = Form::compile(builtin::contact()).unwrap();
        let pairs = [
            ("name", "<b>\"A\"</b>"),
            ("email", "x"),
            ("message", "</textarea><script>"),
        ];
        let post = from_page(
            &form,
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        );
        let errors = validate(&form, &post.fields, "en");
        let shown = Shown {
            post: Some(&post),
            errors: &errors,
            ..Shown::default()
        };
        let html = Pages::new().form(&form, "en", &shown).unwrap();
        for part in [
            "<title>Error: Contact us</title>",
            "role=\"alert\"",
            "<a href=\"#email\">E-mail address: Enter an e-mail address such as name@example.com</a>",
            "aria-invalid=\"true\" aria-describedby=\"email-error\"",
            "<p class=\"error\" id=\"email-error\">",
            "value=\"&lt;b&gt;&quot;A&quot;&lt;",
        ] {
            assert!(html.contains(part), "{part} is not in\n{html}");
        }
        assert!(!html.contains("<script>") && !html.contains("<b>"));
    }

    #[test]
    fn thanks_with_a_reference() {
        let form = Form::compile(builtin::contact()).unwrap();
        let html = Pages::new()
            .thanks(&form, "sv", Some("ABCDE-12345"))
            .unwrap();
        assert!(
            html.contains("<strong>ABCDE-12345</strong>") && html.contains("Din referens"),
            "{html}"
        );
    }
}
