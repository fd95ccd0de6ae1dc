//! `solmu ticket set`: several fields of a ticket in one call.

use anyhow::{Context as _, bail};
use prost_types::FieldMask;
use solmu_proto::ticket::v1::{FieldValue, Ticket, UpdateTicketRequest};

use super::request_id;
use crate::{connect::Session, views::TicketView};

pub(super) async fn run(session: &Session, meant: &str, changes: &[String]) -> anyhow::Result<()> {
    let (mut wanted, paths) = parse(changes)?;
    let client = session.client()?;
    wanted.id = super::fetch(session, &client, meant).await?.id;
    let request = UpdateTicketRequest {
        ticket: Some(wanted),
        update_mask: Some(FieldMask { paths }),
        request_id: request_id(),
    };
    let ticket = client
        .tickets()
        .update_ticket(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let text = format!("Changed #{}.", ticket.number);
    session.out.either(&TicketView::from(&ticket), text)
}

/// What is to be set, and the paths of it. A key that is there twice has two values.
fn parse(changes: &[String]) -> anyhow::Result<(Ticket, Vec<String>)> {
    let mut ticket = Ticket::default();
    let mut paths: Vec<String> = Vec::new();
    for change in changes {
        let (key, value) = change
            .split_once('=')
            .with_context(|| format!("'{change}' is not KEY=VALUE"))?;
        let several = |list: &mut Vec<String>| {
            list.extend((!value.is_empty()).then(|| value.to_owned()));
        };
        let path = match key {
            "subject" => one(&mut ticket.subject, key, value)?,
            "category" => one(&mut ticket.category, key, value)?,
            "parent" => one(&mut ticket.parent_id, "parent_id", &super::key(value))?,
            "tags" => {
                several(&mut ticket.tags);
                key.to_owned()
            }
            "" => bail!("'{change}' has no key"),
            field => {
                let known = ticket.fields.iter().position(|it| it.key == field);
                let place = known.unwrap_or(ticket.fields.len());
                if known.is_none() {
                    ticket.fields.push(FieldValue {
                        key: field.to_owned(),
                        values: Vec::new(),
                    });
                }
                several(&mut ticket.fields[place].values);
                format!("fields.{field}")
            }
        };
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok((ticket, paths))
}

fn one(place: &mut String, path: &str, value: &str) -> anyhow::Result<String> {
    if !place.is_empty() {
        bail!("{path} takes one value");
    }
    value.clone_into(place);
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(changes: &[&str]) -> anyhow::Result<(Ticket, Vec<String>)> {
        let changes: Vec<String> = changes.iter().map(|&it| it.to_owned()).collect();
        parse(&changes)
    }

    #[test]
    fn keys_are_fields_of_the_ticket_or_custom_ones() {
        let all = [
            "category=a/b",
            "tags=vip",
            "tags=late",
            "amount=",
            "note=x=1",
            "colours=red",
            "colours=green",
        ];
        let (ticket, paths) = parsed(&all).unwrap();
        assert_eq!(
            (ticket.category.as_str(), &ticket.tags[..]),
            ("a/b", &["vip".to_owned(), "late".to_owned()][..])
        );
        let fields: Vec<_> = ticket
            .fields
            .iter()
            .map(|it| (it.key.as_str(), it.values.join("|")))
            .collect();
        let expected = [("amount", ""), ("note", "x=1"), ("colours", "red|green")];
        assert_eq!(fields, expected.map(|(key, value)| (key, value.to_owned())));
        assert_eq!(
            paths,
            [
                "category",
                "tags",
                "fields.amount",
                "fields.note",
                "fields.colours"
            ]
        );
        for bad in [
            &["category"][..],
            &["=x"][..],
            &["subject=a", "subject=b"][..],
        ] {
            assert!(parsed(bad).is_err());
        }
    }
}
