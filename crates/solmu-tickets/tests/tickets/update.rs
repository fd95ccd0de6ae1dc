//! `UpdateTicket`, and the fields that a desk defines for itself.

use std::collections::BTreeSet;

use futures::future::join_all;
use prost_types::FieldMask;
use solmu_proto::{
    ticket::v1::{
        CreateFieldRequest, FieldDefinition, FieldValue, Ticket, TicketChanged, TicketOpened,
        UpdateTicketRequest, field_definition::Kind,
    },
    types::v1::Priority,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::{
    api_world::{Api, opened, reason},
    support::mail,
};

pub(crate) fn mask(paths: &[&str]) -> Option<FieldMask> {
    (!paths.is_empty()).then(|| FieldMask {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
    })
}

/// An update by the agent.
pub(crate) async fn update(api: &Api, ticket: Ticket, paths: &[&str]) -> Result<Ticket, Status> {
    under(api, ticket, paths, "").await
}

async fn under(api: &Api, ticket: Ticket, paths: &[&str], id: &str) -> Result<Ticket, Status> {
    let request = UpdateTicketRequest {
        ticket: Some(ticket),
        update_mask: mask(paths),
        request_id: id.to_owned(),
    };
    let answer = api.tickets().update_ticket(api.agent(request)).await;
    answer.map(tonic::Response::into_inner)
}

pub(crate) fn value(key: &str, values: &[&str]) -> FieldValue {
    FieldValue {
        key: key.to_owned(),
        values: values.iter().map(|&it| it.to_owned()).collect(),
    }
}

pub(crate) fn named(ticket: Uuid) -> Ticket {
    Ticket {
        id: ticket.to_string(),
        ..Ticket::default()
    }
}

pub(crate) async fn define(api: &Api, field: FieldDefinition) -> Result<FieldDefinition, Status> {
    let request = CreateFieldRequest {
        field: Some(field),
        request_id: String::new(),
    };
    let answer = api.fields().create_field(api.admin(request)).await;
    answer.map(tonic::Response::into_inner)
}

pub(crate) fn field(key: &str, kind: Kind) -> FieldDefinition {
    let options = match kind {
        Kind::Choice | Kind::MultiChoice => vec!["red".to_owned(), "green".to_owned()],
        _ => Vec::new(),
    };
    FieldDefinition {
        key: key.to_owned(),
        kind: kind.into(),
        options,
        ..FieldDefinition::default()
    }
}

/// The fields that a refusal names.
pub(crate) fn violations(status: &Status) -> BTreeSet<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_error_details();
    let all = details.bad_request().unwrap().field_violations.clone();
    all.into_iter().map(|it| it.field).collect()
}

pub(crate) fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_a_ticket_change_together_and_each_is_told() {
    let api = Api::new().await;
    let before = opened(&api).await;
    define(&api, field("amount", Kind::Number)).await.unwrap();
    define(&api, field("colours", Kind::MultiChoice))
        .await
        .unwrap();
    let wanted = Ticket {
        subject: " Refund of 12 € ".to_owned(),
        category: "/Billing//Refund".to_owned(),
        tags: vec!["vip".to_owned(), "vip".to_owned(), "late".to_owned()],
        priority: Priority::High.into(),
        fields: vec![
            value("amount", &["012.50"]),
            value("colours", &["green", "red"]),
        ],
        ..named(before.id)
    };
    let paths = ["subject", "category", "tags", "priority", "fields"];
    let ticket = update(&api, wanted, &paths).await.unwrap();
    assert_eq!(ticket.subject, "Refund of 12 €");
    assert_eq!(ticket.category, "billing/refund");
    assert_eq!(ticket.tags, ["vip", "late"]);
    let stored = [
        value("amount", &["12.5"]),
        value("colours", &["red", "green"]),
    ];
    assert_eq!(ticket.fields, stored);
    let shape: serde_json::Value = sqlx::query_scalar("SELECT fields FROM tickets.ticket")
        .fetch_one(api.world.pool())
        .await
        .unwrap();
    assert_eq!(
        shape.to_string(),
        r#"{"amount":["12.5"],"colours":["red","green"]}"#
    );

    let told = api.world.told::<TicketChanged>().await;
    let [told] = &told[..] else {
        panic!("{} events", told.len());
    };
    let state = told.ticket.clone().unwrap();
    assert_eq!(state.routing_version, before.routing_version + 1);
    assert_eq!(
        (state.category.as_str(), &state.fields[..]),
        ("billing/refund", &stored[..])
    );
    let changes = told.changes.iter();
    let changes = changes.map(|it| (it.field.as_str(), it.from.as_str(), it.to.as_str()));
    let expected = [
        ("priority", "normal", "high"),
        ("category", "", "billing/refund"),
        ("tags", "", "vip"),
        ("tags", "", "late"),
        ("fields.amount", "", "12.5"),
        ("fields.colours", "", "red,green"),
        // Events carry nobody's words.
        ("subject", "", ""),
    ];
    assert_eq!(changes.collect::<Vec<_>>(), expected);

    // Without a mask only what is set changes; the same again is not told; one field is emptied by its path.
    let again = Ticket {
        tags: vec!["vip".to_owned(), "late".to_owned()],
        ..named(before.id)
    };
    let same = update(&api, again, &[]).await.unwrap();
    assert_eq!(same.version, ticket.version);
    let emptied = update(&api, named(before.id), &["fields.amount", "category"])
        .await
        .unwrap();
    assert_eq!((emptied.category.as_str(), emptied.fields.len()), ("", 1));
    // What only people look at is nothing for the router.
    let renamed = Ticket {
        subject: "Other".to_owned(),
        ..named(before.id)
    };
    update(&api, renamed, &[]).await.unwrap();
    assert_eq!(
        api.world.ticket(before.id).await.routing_version,
        before.routing_version + 2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_wins_and_one_request_counts_once() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let with = |category: &str, etag: &str| Ticket {
        category: category.to_owned(),
        etag: etag.to_owned(),
        ..named(ticket.id)
    };
    let first = update(&api, with("a", ""), &[]).await.unwrap();
    // Agents who looked at the same version: one of them wins.
    let words: Vec<String> = (0..8).map(|n| format!("b{n}")).collect();
    let racing = words
        .iter()
        .map(|word| update(&api, with(word, &first.etag), &[]));
    let results = join_all(racing).await;
    let won: Vec<_> = results.iter().filter_map(|it| it.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    for lost in results.iter().filter_map(|it| it.as_ref().err()) {
        assert_eq!(
            (lost.code(), reason(lost).as_str()),
            (Code::Aborted, "ETAG_MISMATCH")
        );
    }
    // One request, many times: the etag was right when it was made.
    let present = won[0].etag.clone();
    let racing = (0..24).map(|_| under(&api, with("c", &present), &[], "request 1"));
    let results = join_all(racing).await;
    assert!(
        results
            .iter()
            .all(|it| it.as_ref().is_ok_and(|it| it.category == "c"))
    );
    assert_eq!(
        api.world.ticket(ticket.id).await.version,
        won[0].version + 1
    );
    let other = under(&api, with("d", ""), &[], "request 1")
        .await
        .unwrap_err();
    assert_eq!(reason(&other), "REQUEST_ID_REUSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_with_the_organisations_of_its_contact() {
    let api = Api::new().await;
    let first = opened(&api).await;
    let (by_hand, by_domain) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for statement in [
        "INSERT INTO tickets.organization (id, display_name, created_at, updated_at)
         VALUES ($1, 'By hand', now(), now()), ($2, 'By domain', now(), now())",
        "UPDATE tickets.contact SET organization_id = $1 WHERE $2 IS NOT NULL",
        "INSERT INTO tickets.organization_domain (domain, organization_id) SELECT 'c.example', $2 WHERE $1 IS NOT NULL",
        "UPDATE tickets.identity SET assurance = 3 WHERE $1 <> $2",
    ] {
        let query = sqlx::query(statement).bind(by_hand).bind(by_domain);
        query.execute(api.world.pool()).await.unwrap();
    }
    let second = api
        .world
        .file(&mail("second@c.example", "aino@c.example"))
        .await
        .unwrap();
    let told = api.world.told::<TicketOpened>().await;
    let states: Vec<_> = told.into_iter().filter_map(|it| it.ticket).collect();
    assert_eq!(states[0].organization_ids, [""; 0]);
    assert_eq!(
        states[1].organization_ids,
        [by_hand, by_domain].map(|id| id.to_string())
    );
    // Set later by hand.
    let wanted = Ticket {
        organization_ids: vec![by_hand.to_string()],
        ..named(first.id)
    };
    let ticket = update(&api, wanted, &["organization_ids"]).await.unwrap();
    assert_eq!(ticket.organization_ids, [by_hand.to_string()]);
    let none = update(&api, named(second.id), &["organization_ids"])
        .await
        .unwrap();
    assert_eq!(none.organization_ids, [""; 0]);
}
