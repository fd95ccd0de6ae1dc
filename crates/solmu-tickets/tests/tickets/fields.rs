//! Fields that a desk defines for itself: what they may hold, and who defines them.

use solmu_proto::{
    ticket::v1::{
        ArchiveFieldRequest, CreateFieldRequest, FieldDefinition, FieldValue, ListFieldsRequest,
        ReplyToTicketRequest, SetStatusRequest, Ticket, UpdateFieldRequest, field_definition::Kind,
    },
    types::v1::TicketStatus,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    api_world::{Api, opened, reason},
    update::{define, field, mask, named, set, update, value, violations},
};

/// A limited number, an order number, and a field of each other kind under its name.
async fn define_kinds(api: &Api) {
    let limited = FieldDefinition {
        min: "1".to_owned(),
        max: "10".to_owned(),
        ..field("amount", Kind::Number)
    };
    define(api, limited).await.unwrap();
    let order = FieldDefinition {
        pattern: "[A-Z]-[0-9]+|none".to_owned(),
        max_length: 8,
        ..field("order_no", Kind::Text)
    };
    define(api, order).await.unwrap();
    for kind in [Kind::Date, Kind::Datetime, Kind::Boolean, Kind::Choice] {
        let key = kind.as_str_name().to_lowercase();
        define(api, field(&key, kind)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_wrong_is_named_and_nothing_changes() {
    let api = Api::new().await;
    let before = opened(&api).await;
    define_kinds(&api).await;
    let wanted = |fields: &[FieldValue]| Ticket {
        category: "a/b/c/d/e/f/g/h/i".to_owned(),
        tags: vec![String::new()],
        organization_ids: vec![Uuid::from_u128(1).to_string()],
        fields: fields.to_vec(),
        ..named(before.id)
    };
    let bad = wanted(&[
        value("amount", &["11"]),
        value("nothing", &["1"]),
        value("order_no", &["A-1x"]),
    ]);
    let refused = update(&api, bad, &[]).await.unwrap_err();
    let all = [
        "ticket.category",
        "ticket.tags",
        "ticket.organization_ids",
        "ticket.fields.amount",
        "ticket.fields.nothing",
        "ticket.fields.order_no",
    ];
    assert_eq!(violations(&refused), set(all));
    let refused = update(&api, named(before.id), &["status", "number", "priority"])
        .await
        .unwrap_err();
    assert_eq!(
        violations(&refused),
        set(["ticket.status", "update_mask", "ticket.priority"])
    );
    let refused = update(&api, named(Uuid::from_u128(3)), &["category"])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(api.world.ticket(before.id).await.version, before.version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_takes_the_values_of_its_kind_and_no_others() {
    let api = Api::new().await;
    let before = opened(&api).await;
    define_kinds(&api).await;
    for (key, bad) in [
        ("amount", "1e1"),
        ("amount", "0.99"),
        ("order_no", "A-12345678"),
        ("order_no", "xnone"),
        ("kind_date", "2026-02-30"),
        ("kind_datetime", "2026-02-28"),
        ("kind_boolean", "yes"),
        ("kind_choice", "blue"),
    ] {
        let one = Ticket {
            fields: vec![value(key, &[bad])],
            ..named(before.id)
        };
        let refused = update(&api, one, &[]).await.unwrap_err();
        assert_eq!(
            violations(&refused),
            set([format!("ticket.fields.{key}").as_str()]),
            "{bad}"
        );
    }
    assert_eq!(api.world.ticket(before.id).await.version, before.version);
    let good = Ticket {
        fields: vec![
            value("amount", &["10.0"]),
            value("order_no", &["A-1"]),
            value("kind_date", &["2026-02-28"]),
            value("kind_datetime", &["2026-02-28T10:00:00+02:00"]),
            value("kind_boolean", &["true"]),
            value("kind_choice", &["red"]),
        ],
        ..named(before.id)
    };
    let ticket = update(&api, good, &[]).await.unwrap();
    let instant = ticket
        .fields
        .iter()
        .find(|it| it.key == "kind_datetime")
        .unwrap();
    assert_eq!(instant.values, ["2026-02-28T08:00:00Z"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_resolved_ticket_must_have_is_asked_for() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let required = FieldDefinition {
        required_to_resolve: true,
        ..field("cause", Kind::Choice)
    };
    define(&api, required).await.unwrap();
    let resolve = || {
        let request = api.agent(SetStatusRequest {
            ticket_id: ticket.id.to_string(),
            status: TicketStatus::Resolved.into(),
            etag: String::new(),
            ..SetStatusRequest::default()
        });
        let mut client = api.tickets();
        async move { client.set_status(request).await }
    };
    let refused = resolve().await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "FIELDS_REQUIRED")
    );
    assert!(refused.message().contains("cause"), "{}", refused.message());
    let answer = ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: "done".to_owned(),
        set_status: TicketStatus::Resolved.into(),
        ..ReplyToTicketRequest::default()
    };
    let refused = api
        .tickets()
        .reply_to_ticket(api.agent(answer))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "FIELDS_REQUIRED");
    // The value and the status may come in one call.
    let both = Ticket {
        status: TicketStatus::Resolved.into(),
        fields: vec![value("cause", &["red"])],
        ..named(ticket.id)
    };
    let done = update(&api, both, &[]).await.unwrap();
    assert_eq!(done.status(), TicketStatus::Resolved);

    // Nothing is asked for of an archived field, and nothing is taken by it; its values stay and can go.
    let reopened = Ticket {
        status: TicketStatus::Open.into(),
        ..named(ticket.id)
    };
    update(&api, reopened, &[]).await.unwrap();
    let archive = ArchiveFieldRequest {
        key: "cause".to_owned(),
    };
    for _ in 0..2 {
        let archived = api
            .fields()
            .archive_field(api.admin(archive.clone()))
            .await
            .unwrap();
        assert!(archived.into_inner().archive_time.is_some());
    }
    let green = Ticket {
        fields: vec![value("cause", &["green"])],
        ..named(ticket.id)
    };
    let refused = update(&api, green, &[]).await.unwrap_err();
    assert_eq!(violations(&refused), set(["ticket.fields.cause"]));
    let emptied = update(&api, named(ticket.id), &["fields.cause"])
        .await
        .unwrap();
    assert_eq!(emptied.fields, []);
    resolve().await.unwrap();
}

async fn defined(api: &Api) -> Vec<FieldDefinition> {
    let request = api.agent(ListFieldsRequest::default());
    let listed = api.fields().list_fields(request).await.unwrap();
    listed.into_inner().fields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_admin_defines_fields() {
    let api = Api::new().await;
    let denied = CreateFieldRequest {
        field: Some(field("amount", Kind::Number)),
        request_id: String::new(),
    };
    let denied = api
        .fields()
        .create_field(api.agent(denied))
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(defined(&api).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_definition_is_named() {
    let api = Api::new().await;
    for (bad, name) in [
        (field("Amount", Kind::Number), "field.key"),
        (field("amount", Kind::Unspecified), "field.kind"),
        (
            FieldDefinition {
                options: vec![],
                ..field("a", Kind::Choice)
            },
            "field.options",
        ),
        (
            FieldDefinition {
                min: "x".to_owned(),
                ..field("a", Kind::Number)
            },
            "field.min",
        ),
        (
            FieldDefinition {
                max: "a".to_owned(),
                ..field("a", Kind::Text)
            },
            "field.max",
        ),
        (
            FieldDefinition {
                min: "3".to_owned(),
                max: "2".to_owned(),
                ..field("a", Kind::Number)
            },
            "field.max",
        ),
        (
            FieldDefinition {
                min_length: 2,
                max_length: 1,
                ..field("a", Kind::Text)
            },
            "field.max_length",
        ),
        (
            FieldDefinition {
                pattern: "a)|(b".to_owned(),
                ..field("a", Kind::Text)
            },
            "field.pattern",
        ),
        (
            FieldDefinition {
                pattern: "(?=a)".to_owned(),
                ..field("a", Kind::Text)
            },
            "field.pattern",
        ),
        (
            FieldDefinition {
                pattern: "((a{100}){100}){100}".to_owned(),
                ..field("a", Kind::Text)
            },
            "field.pattern",
        ),
    ] {
        let refused = define(&api, bad).await.unwrap_err();
        assert_eq!(violations(&refused), set([name]));
    }
    assert_eq!(defined(&api).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_is_made_once_and_changed_under_its_etag() {
    let api = Api::new().await;
    let request = CreateFieldRequest {
        field: Some(field("amount", Kind::Number)),
        request_id: "one".to_owned(),
    };
    for _ in 0..2 {
        let made = api
            .fields()
            .create_field(api.admin(request.clone()))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (made.label.as_str(), made.etag.as_str()),
            ("amount", "\"1\"")
        );
    }
    let again = define(&api, field("amount", Kind::Text)).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let change = |etag: &str, paths: &[&str]| UpdateFieldRequest {
        field: Some(FieldDefinition {
            label: "Sum".to_owned(),
            max: "7.0".to_owned(),
            etag: etag.to_owned(),
            ..field("amount", Kind::Unspecified)
        }),
        update_mask: mask(paths),
    };
    let changed = api
        .fields()
        .update_field(api.admin(change("\"1\"", &["max"])))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            changed.label.as_str(),
            changed.max.as_str(),
            changed.etag.as_str()
        ),
        ("amount", "7", "\"2\"")
    );
    let stale = api
        .fields()
        .update_field(api.admin(change("\"1\"", &[])))
        .await
        .unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let kind = api
        .fields()
        .update_field(api.admin(change("", &["kind"])))
        .await
        .unwrap_err();
    assert_eq!(violations(&kind), set(["update_mask"]));
    assert_eq!(defined(&api).await, [changed]);
}
