//! The bill.

use futures::StreamExt as _;
use jiff::SignedDuration;
use serde_json::Value;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::ticket::v1::{
    CreateTimeEntryRequest, ExportTimeRequest, ExportTimeResponse, StartTimerRequest, TimeEntry,
    TimeFormat, UpdateTicketRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::support::{Api, Ticket, mail, opened};

/// Everything from a day before now to a day after it.
fn all(api: &Api, format: TimeFormat) -> ExportTimeRequest {
    let now = api.world.harness.clock.now();
    let day = SignedDuration::from_hours(24);
    ExportTimeRequest {
        from_time: Some(to_proto_time(now - day)),
        until_time: Some(to_proto_time(now + day)),
        format: format.into(),
        ..ExportTimeRequest::default()
    }
}

async fn export(api: &Api, request: ExportTimeRequest) -> Vec<ExportTimeResponse> {
    let stream = api.time().export_time(api.admin(request)).await;
    let parts = stream.unwrap().into_inner().collect::<Vec<_>>().await;
    parts.into_iter().map(|part| part.unwrap()).collect()
}

async fn lines(api: &Api, request: ExportTimeRequest) -> Vec<Value> {
    let parts = export(api, request).await;
    let lines = parts.iter().flat_map(|part| part.text.lines());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn spend(api: &Api, ticket: &Ticket, entry: TimeEntry) {
    let request = CreateTimeEntryRequest {
        entry: Some(TimeEntry {
            ticket_id: ticket.id.to_string(),
            ..entry
        }),
        request_id: String::new(),
    };
    api.time()
        .create_time_entry(api.agent(request))
        .await
        .unwrap();
}

/// Two tickets with an entry each, the first one paid, and a timer that runs.
async fn worked() -> (Api, Ticket, Ticket) {
    let api = Api::new().await;
    let first = opened(&api).await;
    let second = mail("two@c.example", "pia@c.example");
    let second = api.world.file(&second).await.unwrap();
    let paid = TimeEntry {
        seconds: 5_400,
        billable: true,
        hourly_rate: "85.50".to_owned(),
        currency: "EUR".to_owned(),
        activity: "travel".to_owned(),
        note: "=HYPERLINK(\"x\"), \"twice\"".to_owned(),
        ..TimeEntry::default()
    };
    spend(&api, &first, paid).await;
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_secs(7_200));
    let free = TimeEntry {
        seconds: 60,
        ..TimeEntry::default()
    };
    spend(&api, &second, free).await;
    let category = UpdateTicketRequest {
        ticket: Some(solmu_proto::ticket::v1::Ticket {
            id: second.id.to_string(),
            category: "hardware/laptop".to_owned(),
            ..Default::default()
        }),
        ..UpdateTicketRequest::default()
    };
    api.tickets()
        .update_ticket(api.admin(category))
        .await
        .unwrap();
    // A timer that runs is no time yet.
    let timer = StartTimerRequest {
        ticket_id: first.id.to_string(),
        ..StartTimerRequest::default()
    };
    api.time().start_timer(api.agent(timer)).await.unwrap();
    (api, first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_written_as_csv_and_as_json() {
    let (api, _, second) = worked().await;
    let request = all(&api, TimeFormat::Csv);
    let parts = export(&api, request).await;
    assert_eq!((parts.len(), parts[0].entries), (1, 2));
    let text = &parts[0].text;
    assert!(
        text.starts_with("entry_id,ticket_number,ticket_id,subject,"),
        "{text}"
    );
    assert_eq!(text.matches("\r\n").count(), 3);
    assert!(
        text.contains(
            ",85.5,EUR,128.2500,\"'=HYPERLINK(\"\"x\"\"), \"\"twice\"\"\",2026-11-02T08:00:00Z\r\n"
        ),
        "{text}"
    );

    let json = all(&api, TimeFormat::JsonLines);
    let found = lines(&api, json).await;
    assert_eq!(found[0]["amount"], "128.2500");
    assert_eq!(
        (&found[0]["seconds"], &found[0]["billable"]),
        (&5_400.into(), &true.into())
    );
    assert_eq!(found[1]["category"], "hardware/laptop");
    assert_eq!(found[1]["ticket_number"], second.number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_period_is_billed_by_what_narrows_it_down() {
    let (api, first, second) = worked().await;
    let json = all(&api, TimeFormat::JsonLines);
    let numbers = async |request: ExportTimeRequest| -> Vec<i64> {
        let found = lines(&api, request).await;
        found
            .iter()
            .map(|it| it["ticket_number"].as_i64().unwrap())
            .collect()
    };
    let narrowed = [
        ExportTimeRequest {
            only_billable: true,
            ..json.clone()
        },
        ExportTimeRequest {
            contact_id: first.contact_id.to_string(),
            ..json.clone()
        },
        ExportTimeRequest {
            until_time: Some(to_proto_time(
                api.world.harness.clock.now() - SignedDuration::from_secs(3_600),
            )),
            ..json.clone()
        },
    ];
    for request in narrowed {
        assert_eq!(numbers(request).await, [first.number]);
    }
    let below = ExportTimeRequest {
        category: "Hardware".to_owned(),
        ..json.clone()
    };
    assert_eq!(numbers(below).await, [second.number]);
    for nobody in [
        ExportTimeRequest {
            category: "hard".to_owned(),
            ..json.clone()
        },
        ExportTimeRequest {
            agent_id: "somebody".to_owned(),
            ..json.clone()
        },
        ExportTimeRequest {
            organization_id: Uuid::from_u128(4).to_string(),
            ..json.clone()
        },
    ] {
        assert!(numbers(nobody).await.is_empty());
    }
    let backwards = ExportTimeRequest {
        from_time: json.until_time,
        ..json.clone()
    };
    let refused = api.time().export_time(api.admin(backwards)).await.map(drop);
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let agents = api.time().export_time(api.agent(json)).await.map(drop);
    assert_eq!(agents.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_goes_on_after_any_part_without_what_came_since() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    // Many of one time, so that only the id tells them apart.
    sqlx::query(
        "INSERT INTO tickets.time_entry (id, ticket_id, agent_id, started_at, seconds, billable, created_by, created_at,
            updated_at)
         SELECT gen_random_uuid(), $1, 'a', $2, n, true, 'a', $2, $2 FROM generate_series(1, 1200) AS n",
    )
    .bind(ticket.id)
    .bind(solmu_db::ToSqlx::to_sqlx(api.world.harness.clock.now()))
    .execute(api.world.pool())
    .await
    .unwrap();
    let request = all(&api, TimeFormat::JsonLines);
    let whole = export(&api, request.clone()).await;
    let counts: Vec<i32> = whole.iter().map(|part| part.entries).collect();
    assert_eq!(counts, [500, 500, 200]);

    // Cut off after the first part; meanwhile somebody adds an entry to the period.
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_secs(10));
    let late = TimeEntry {
        seconds: 5,
        ..TimeEntry::default()
    };
    spend(&api, &ticket, late).await;
    let rest = ExportTimeRequest {
        page_token: whole[0].page_token.clone(),
        ..request.clone()
    };
    let rest = export(&api, rest).await;
    let text = |parts: &[ExportTimeResponse]| -> String {
        parts.iter().map(|part| part.text.as_str()).collect()
    };
    assert!(text(&rest) == text(&whole[1..]), "the rest is another one");
    let anew = export(&api, request.clone()).await;
    assert_eq!(anew.iter().map(|part| part.entries).sum::<i32>(), 1_201);
    // A token is of its request.
    let other = ExportTimeRequest {
        page_token: whole[0].page_token.clone(),
        only_billable: true,
        ..request
    };
    let refused = api.time().export_time(api.admin(other)).await.map(drop);
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}
