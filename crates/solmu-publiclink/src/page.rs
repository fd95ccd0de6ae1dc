//! The HTML of a ticket. No script, nothing to fill in, one list of messages with headings to jump by.

use jiff::{Timestamp, tz::TimeZone};
use minijinja::{Environment, context, value::Serde};
use serde::Serialize;

use crate::{
    shown::{Author, Message},
    store::Shown,
    words::Words,
};

/// The style sheet.
pub(crate) const STYLE: &str = include_str!("../assets/page.css");

/// Templates, parsed once.
#[derive(Debug)]
pub(crate) struct Pages(Environment<'static>);

#[derive(Debug, Serialize)]
struct Page<'a> {
    words: &'static Words,
    subject: &'a str,
    number: i64,
    state: &'static str,
    opened: Time,
    older: bool,
    messages: Vec<View<'a>>,
}

#[derive(Debug, Serialize)]
struct View<'a> {
    author: &'a str,
    at: Time,
    text: String,
    files: i32,
}

/// A time for programs and for people.
#[derive(Debug, Serialize)]
struct Time {
    machine: String,
    people: String,
}

impl Time {
    fn of(at: Timestamp, zone: &TimeZone) -> Self {
        Self {
            machine: at.to_string(),
            people: at
                .to_zoned(zone.clone())
                .strftime("%Y-%m-%d %H:%M %Z")
                .to_string(),
        }
    }
}

impl Pages {
    /// Parses the templates.
    pub(crate) fn new() -> Self {
        let mut templates = Environment::new();
        for (name, source) in [
            ("ticket.html", include_str!("../templates/ticket.html")),
            ("notice.html", include_str!("../templates/notice.html")),
        ] {
            templates
                .add_template(name, source)
                .expect("the templates are part of the program and tested");
        }
        Self(templates)
    }

    /// A ticket.
    pub(crate) fn ticket(
        &self,
        shown: &Shown,
        words: &'static Words,
    ) -> Result<String, minijinja::Error> {
        let zone = TimeZone::get(&shown.time_zone).unwrap_or(TimeZone::UTC);
        let messages = shown.messages.iter().map(|message| View {
            author: author(message, words),
            at: Time::of(message.at, &zone),
            text: message.visible(),
            files: message.files,
        });
        let page = Page {
            words,
            subject: &shown.subject,
            number: shown.number,
            state: words.state(shown.status),
            opened: Time::of(shown.opened, &zone),
            older: shown.older,
            messages: messages.collect(),
        };
        self.0.get_template("ticket.html")?.render(Serde(page))
    }

    /// A page with nothing but a sentence.
    pub(crate) fn notice(
        &self,
        words: &'static Words,
        title: &str,
        text: &str,
    ) -> Result<String, minijinja::Error> {
        let words = Serde(words);
        self.0
            .get_template("notice.html")?
            .render(context! { words, title, text })
    }
}

/// Who wrote it, by a name: where a person has none but an address or a number, by what they are.
fn author<'a>(message: &'a Message, words: &'static Words) -> &'a str {
    match message.author() {
        Author::Requester => words.you,
        Author::Participant(name) => name.unwrap_or(words.participant),
        Author::Desk(name) => name.unwrap_or(words.desk),
    }
}
