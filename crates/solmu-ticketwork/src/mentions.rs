//! Whom an internal note mentions.
//!
//! `@name` in a note is one agent of the roster, or a mistake that its author hears of: a colleague who was not told is
//! worse than a note that has to be written again. Whoever is mentioned follows the ticket from then on. Only notes
//! mention: an answer goes to a customer, to whom names of the desk mean nothing. A desk whose roster is not known
//! (`tickets.agent_mail.roster_endpoint`) has nobody to mention: there an `@` is text.

use std::collections::BTreeSet;

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::api_error::Violation;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::TicketError,
    events::change,
    followers::{self, MAX_FOLLOWERS},
    model::Ticket,
};

/// Different names in one note.
const MAX_MENTIONS: usize = 50;

/// An agent, with the names that they go by in lower case: the surest first.
struct Known {
    id: Uuid,
    display_name: String,
    names: [String; 5],
}

impl Known {
    fn of((id, display_name, address): (Uuid, String, String)) -> Self {
        let words: Vec<&str> = display_name.split_whitespace().collect();
        let local = address.split('@').next().unwrap_or_default();
        let names = [
            id.to_string(),
            address.to_lowercase(),
            local.to_lowercase(),
            words.join(".").to_lowercase(),
            words.first().copied().unwrap_or_default().to_lowercase(),
        ];
        Self {
            id,
            display_name,
            names,
        }
    }
}

/// The agents whom a note mentions, in the order of the text. With `lenient`, what names nobody is text.
pub(crate) async fn read(
    tx: &mut PgConnection,
    text: &str,
    lenient: bool,
) -> Result<Vec<Uuid>, TicketError> {
    let names = names(text);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let roster: Vec<(Uuid, String, String)> =
        sqlx::query_as("SELECT id, display_name, address FROM tickets.agent ORDER BY id")
            .fetch_all(tx)
            .await?;
    if roster.is_empty() {
        return Ok(Vec::new());
    }
    let roster: Vec<Known> = roster.into_iter().map(Known::of).collect();
    let mut wrong = Vec::new();
    let mut mentioned = Vec::new();
    for name in names {
        match resolve(&roster, &name) {
            Ok(id) if mentioned.contains(&id) => {}
            Ok(id) => mentioned.push(id),
            Err(why) => wrong.push(Violation::new("text", why)),
        }
    }
    if mentioned.len() > MAX_MENTIONS {
        let why = format!("mentions more than {MAX_MENTIONS} agents");
        return Err(TicketError::invalid("text", why));
    }
    if wrong.is_empty() || lenient {
        Ok(mentioned)
    } else {
        Err(TicketError::Invalid(wrong))
    }
}

/// The one agent of that name. A surer kind of name wins: an address over a first name.
fn resolve(roster: &[Known], name: &str) -> Result<Uuid, String> {
    let wanted = name.to_lowercase();
    for kind in 0..5 {
        let mut found = roster.iter().filter(|it| it.names[kind] == wanted);
        match (found.next(), found.next()) {
            (Some(one), None) => return Ok(one.id),
            (Some(one), Some(other)) => {
                let (one, other) = (&one.display_name, &other.display_name);
                return Err(format!(
                    "'@{name}' is more than one agent: {one}, {other}; name the address"
                ));
            }
            (None, _) => {}
        }
    }
    Err(format!("there is no agent '@{name}'"))
}

/// What stands after each `@` that begins a word, each once, in order.
fn names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut before = ' ';
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        if at > 0 {
            before = rest[..at].chars().next_back().unwrap_or(' ');
        }
        let after = &rest[at + 1..];
        let length = after
            .find(|c: char| !c.is_alphanumeric() && !"._-+@".contains(c))
            .unwrap_or(after.len());
        let name = after[..length].trim_end_matches(['.', '_', '-', '+', '@']);
        let begins = !before.is_alphanumeric() && !"._-+@/=\\".contains(before);
        if begins && name.starts_with(char::is_alphanumeric) && !names.iter().any(|it| it == name) {
            names.push(name.to_owned());
        }
        before = after[..length].chars().next_back().unwrap_or('@');
        rest = &after[length..];
    }
    names
}

/// Lets those who are mentioned follow a locked ticket; returns the changes to be told.
pub(crate) async fn follow(
    tx: &mut PgConnection,
    ticket: &Ticket,
    message: Uuid,
    agents: &[Uuid],
    (by, now): (&Actor, Timestamp),
) -> Result<Vec<proto::FieldChange>, TicketError> {
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query("UPDATE tickets.message SET mentions = $2 WHERE id = $1")
        .bind(message)
        .bind(agents)
        .execute(&mut *tx)
        .await?;
    let following = followers::of(tx, ticket.id).await?;
    let known: BTreeSet<&Uuid> = following.iter().collect();
    let new: Vec<Uuid> = agents
        .iter()
        .copied()
        .filter(|it| !known.contains(it))
        .collect();
    if i64::try_from(following.len() + new.len()).is_ok_and(|it| it > MAX_FOLLOWERS) {
        let why = format!("the ticket would have more than {MAX_FOLLOWERS} followers");
        return Err(TicketError::refused("TOO_MANY_FOLLOWERS", why));
    }
    if new.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query(
        "INSERT INTO tickets.follower (ticket_id, agent_id, created_by, created_at)
         SELECT $1, agent, $3, $4 FROM unnest($2::uuid[]) AS new (agent)",
    )
    .bind(ticket.id)
    .bind(&new)
    .bind(&by.id)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    let told = new.iter().map(|agent| change("followers", &"", agent));
    Ok(told.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_words() {
        let text = "@ville, look: (@Aino.Virtanen) mail a@b.example or @ville@desk.example. @ville again; x=@no \
            user@@no https://x.example/@no @ @- @é1 @-x";
        assert_eq!(
            names(text),
            ["ville", "Aino.Virtanen", "ville@desk.example", "é1"]
        );
        assert!(names("nothing here, a@b").is_empty());
    }

    #[test]
    fn a_name_is_one_agent_or_a_mistake() {
        let agent = |id: u128, name: &str, address: &str| {
            Known::of((Uuid::from_u128(id), name.to_owned(), address.to_owned()))
        };
        let roster = [
            agent(1, "Ville Virtanen", "ville@desk.example"),
            agent(2, "Ville Korhonen", "korhonen@desk.example"),
            agent(3, "Aino  Mäki", "aino@desk.example"),
            agent(4, "Aino", "aino@other.example"),
        ];
        let of = |name: &str| resolve(&roster, name).map(|id| id.as_u128());
        assert_eq!(
            of("ville"),
            Ok(1),
            "a local part is surer than a first name"
        );
        assert_eq!(of("Korhonen"), Ok(2));
        assert_eq!(of("aino.mäki"), Ok(3));
        assert_eq!(of("AINO@other.example"), Ok(4));
        assert_eq!(of(&Uuid::from_u128(3).to_string()), Ok(3));
        let several = of("aino").unwrap_err();
        assert!(several.contains("more than one agent"), "{several}");
        assert_eq!(of("pekka").unwrap_err(), "there is no agent '@pekka'");
    }
}
