//! What is kept of a person: told in full, and removed.

use solmu_proto::{
    contact::v1::{
        ContactErased, ContactMerged, EraseContactRequest, EraseContactResponse,
        ExportContactRequest, MergeContactsRequest,
    },
    types::v1::Attachment,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    api_world::{Api, reason},
    contact_merges::{get, merge},
    support::mail,
};

async fn export(api: &Api, contact: Uuid) -> Vec<serde_json::Value> {
    let request = ExportContactRequest {
        contact_id: contact.to_string(),
    };
    let mut stream = api
        .contacts()
        .export_contact(api.admin(request))
        .await
        .unwrap()
        .into_inner();
    let mut lines = Vec::new();
    while let Some(part) = stream.message().await.unwrap() {
        lines.push(serde_json::from_str(&part.line).unwrap());
    }
    lines
}

async fn erase(api: &Api, contact: Uuid, name: &str) -> Result<EraseContactResponse, Status> {
    let request = EraseContactRequest {
        contact_id: contact.to_string(),
        confirm_display_name: name.to_owned(),
    };
    Ok(api
        .contacts()
        .erase_contact(api.admin(request))
        .await?
        .into_inner())
}

/// How much of what contacts said and were known by can still be read.
async fn left_of(api: &Api, contacts: [Uuid; 2]) -> i64 {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM tickets.message WHERE (to_jsonb(message) - 'external_id' - 'message_id_header')::text ~ 'words of (1|2)|aino@|berta@|secret')
            + (SELECT count(*) FROM tickets.ticket WHERE contact_id IN ($1, $2) AND subject <> '(erased)')
            + (SELECT count(*) FROM tickets.identity WHERE contact_id IN ($1, $2))
            + (SELECT count(*) FROM tickets.sighting WHERE contact_id IN ($1, $2))
            + (SELECT count(*) FROM tickets.participant WHERE address ~ 'aino@|berta@')",
    )
    .bind(contacts[0])
    .bind(contacts[1])
    .fetch_one(api.world.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_with_free_values_are_emptied_and_choices_stay() {
    let api = Api::new().await;
    let ticket = api
        .world
        .file(&mail("1@a.example", "aino@a.example"))
        .await
        .unwrap();
    let kinds = ["text", "number", "date", "choice", "boolean"];
    sqlx::query(
        "INSERT INTO tickets.field (key, label, kind, created_at, updated_at)
         SELECT 'a_' || kind, '', kind, now(), now() FROM unnest($1::text[]) AS kind",
    )
    .bind(kinds)
    .execute(api.world.pool())
    .await
    .unwrap();
    let fields = kinds.map(|kind| (format!("a_{kind}"), vec!["secret"]));
    let fields: std::collections::BTreeMap<_, _> = fields.into_iter().collect();
    sqlx::query("UPDATE tickets.ticket SET fields = $2 WHERE id = $1")
        .bind(ticket.id)
        .bind(serde_json::json!(fields))
        .execute(api.world.pool())
        .await
        .unwrap();
    let name = get(&api, ticket.contact_id).await.display_name;
    erase(&api, ticket.contact_id, &name).await.unwrap();
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT jsonb_object_keys(fields) AS key FROM tickets.ticket WHERE id = $1 ORDER BY 1",
    )
    .bind(ticket.id)
    .fetch_all(api.world.pool())
    .await
    .unwrap();
    assert_eq!(left, ["a_boolean", "a_choice"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_exported_and_erased_with_all_they_are_made_of() {
    let api = Api::new().await;
    let world = &api.world;
    let mut first = mail("1@a.example", "aino@a.example");
    first.attachments = vec![Attachment {
        object_key: "attachments/ab/cd".to_owned(),
        filename: "secret.pdf".to_owned(),
        ..Attachment::default()
    }];
    let a = world.file(&first).await.unwrap();
    let b = world
        .file(&mail("2@b.example", "berta@b.example"))
        .await
        .unwrap()
        .contact_id;
    let other = world
        .file(&mail("3@o.example", "olga@o.example"))
        .await
        .unwrap();
    merge(&api, a.contact_id, b).await.unwrap();

    let lines = export(&api, b).await;
    let count = |of: &str| lines.iter().filter(|it| it["type"] == of).count();
    assert_eq!(
        ["contact", "identity", "merge", "ticket", "message"].map(count),
        [2, 2, 1, 2, 2]
    );
    let text = serde_json::to_string(&lines).unwrap();
    assert!(text.contains("words of 1@a.example") && !text.contains("olga"));

    let name = get(&api, b).await.display_name;
    let slip = erase(&api, b, "somebody").await.unwrap_err();
    assert_eq!(slip.code(), Code::InvalidArgument);
    let request = EraseContactRequest {
        contact_id: b.to_string(),
        confirm_display_name: name.clone(),
    };
    let refused = api
        .contacts()
        .erase_contact(api.agent(request))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "ROLE_REQUIRED");
    let erased = erase(&api, b, &name).await.unwrap();
    assert_eq!(
        (erased.contact_ids.len(), erased.messages, erased.objects),
        (2, 2, 1)
    );

    // Nothing of theirs is left, everything of others is, and the counts are what they were.
    assert_eq!(left_of(&api, [a.contact_id, b]).await, 0);
    assert_eq!(world.count("SELECT count(*) FROM tickets.message").await, 3);
    assert_eq!(world.count("SELECT count(*) FROM tickets.ticket").await, 3);
    let gone: Vec<String> = sqlx::query_scalar("SELECT key FROM tickets.erased_object")
        .fetch_all(world.pool())
        .await
        .unwrap();
    assert_eq!(gone, ["attachments/ab/cd"]);
    assert_eq!(get(&api, other.contact_id).await.ticket_count, 1);
    let left = get(&api, b).await;
    assert!(left.erase_time.is_some() && left.ticket_count == 2 && left.identities.is_empty());
    let told = world.told::<ContactErased>().await;
    assert_eq!(told[0].contact_ids.len(), 2);

    nobody_any_more(&api, b, other.contact_id).await;
    // Who writes again is somebody new.
    let again = world
        .file(&mail("4@a.example", "aino@a.example"))
        .await
        .unwrap();
    assert_ne!(again.contact_id, a.contact_id);
}

/// What is erased is nobody that could be merged or erased again.
async fn nobody_any_more(api: &Api, erased: Uuid, other: Uuid) {
    let again = erase(api, erased, "(erased)").await.unwrap_err();
    assert_eq!(reason(&again), "CONTACT_ERASED");
    let request = MergeContactsRequest {
        contact_id: other.to_string(),
        merged_contact_id: erased.to_string(),
        ..MergeContactsRequest::default()
    };
    let refused = api.contacts().merge_contacts(api.agent(request)).await;
    assert_eq!(reason(&refused.unwrap_err()), "CONTACT_ERASED");
    assert_eq!(api.world.told::<ContactMerged>().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_need_or_wrote_outlives_an_erasure() {
    let api = Api::new().await;
    let world = &api.world;
    let terms = || Attachment {
        object_key: "attachments/te/rms".to_owned(),
        filename: "terms.pdf".to_owned(),
        ..Attachment::default()
    };
    let mut first = mail("1@a.example", "aino@a.example");
    first.attachments = vec![terms()];
    let aino = world.file(&first).await.unwrap();
    let mut second = mail("2@b.example", "berta@b.example");
    second.attachments = vec![terms()];
    let berta = world.file(&second).await.unwrap();
    crate::merges::merge(&api, &[aino.id], berta.id)
        .await
        .unwrap();
    let told = serde_json::to_string(&export(&api, berta.contact_id).await).unwrap();
    assert!(told.contains("words of 2@b.example") && !told.contains("words of 1@a.example"));
    let name = get(&api, berta.contact_id).await.display_name;
    let erased = erase(&api, berta.contact_id, &name).await.unwrap();
    assert_eq!((erased.messages, erased.objects), (1, 0));
    let text: String =
        sqlx::query_scalar("SELECT body_text FROM tickets.message WHERE author_id = $1")
            .bind(aino.contact_id.to_string())
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert!(text.contains("words of 1@a.example"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_erased_or_told_by_a_guess() {
    let api = Api::new().await;
    let world = &api.world;
    let one = world
        .file(&mail("1@a.example", "aino@a.example"))
        .await
        .unwrap()
        .contact_id;
    let other = world
        .file(&mail("2@b.example", "berta@b.example"))
        .await
        .unwrap()
        .contact_id;
    let merge = merge(&api, one, other).await.unwrap();
    sqlx::query("UPDATE tickets.contact_merge SET rule = 'claimed_number'")
        .execute(world.pool())
        .await
        .unwrap();
    let refused = erase(&api, other, &merge.display_name).await.unwrap_err();
    assert_eq!(reason(&refused), "MERGE_GUESSED");
    let request = ExportContactRequest {
        contact_id: other.to_string(),
    };
    let refused = api
        .contacts()
        .export_contact(api.admin(request))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "MERGE_GUESSED");
}
