//! Search over everything that was written.

use solmu_proto::{
    contact::v1::{EraseContactRequest, GetContactRequest},
    inbound::v1::MessageReceived,
    ticket::v1::{MergeTicketsRequest, SearchHit, SearchTicketsRequest, SearchTicketsResponse},
};
use solmu_testkit::wait_for;
use tonic::Code;

use crate::{
    api_world::Api,
    support::{Ticket, mail},
};

fn about(id: &str, from: &str, subject: &str, text: &str) -> MessageReceived {
    MessageReceived {
        subject: subject.to_owned(),
        text: text.to_owned(),
        language: "fi".to_owned(),
        ..mail(id, from)
    }
}

pub(crate) async fn indexed(api: &Api) {
    wait_for("everything is indexed", || async {
        api.world
            .count("SELECT count(*) FROM tickets.search_queue")
            .await
            == 0
    })
    .await;
}

fn query(words: &str) -> SearchTicketsRequest {
    SearchTicketsRequest {
        query: words.to_owned(),
        ..SearchTicketsRequest::default()
    }
}

async fn found(api: &Api, request: SearchTicketsRequest) -> SearchTicketsResponse {
    let request = api.agent(request);
    api.search()
        .search_tickets(request)
        .await
        .unwrap()
        .into_inner()
}

/// Numbers of the tickets that are found.
async fn numbers(api: &Api, words: &str) -> Vec<i64> {
    let hits = found(api, query(words)).await.hits;
    hits.iter().map(number).collect()
}

fn number(hit: &SearchHit) -> i64 {
    hit.ticket.as_ref().unwrap().number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_are_found_in_their_forms_and_what_is_erased_is_not() {
    let api = Api::new().await;
    let first = about(
        "1@c.example",
        "aino.makela@c.example",
        "Tilaus myöhässä",
        "Hei, tilaukseni ORD-77123 ei ole tullut. Terveisin Aino",
    );
    let first = api.world.file(&first).await.unwrap();
    let second = about(
        "2@c.example",
        "bertil@d.example",
        "Lasku",
        "Vanha lasku oli jo maksettu. Ja uusi saapui.",
    );
    let second = api.world.file(&second).await.unwrap();
    indexed(&api).await;
    let (one, two) = (vec![first.number], vec![second.number]);
    for (words, expected) in [
        ("tilaus", &one),
        ("tilauksen", &one),
        ("TILAUKSET", &one),
        ("ord-77123", &one),
        ("771*", &one),
        ("myohassa", &vec![]),
        ("myöhässä", &one),
        ("aino.makela@c.example", &one),
        ("laskut", &two),
        ("\"vanha lasku\"", &two),
        ("\"lasku vanha\"", &vec![]),
        ("ja uusi", &two),
        ("-tilaus bertil", &two),
        ("tilaus lasku", &vec![]),
        ("nothing", &vec![]),
    ] {
        assert_eq!(&numbers(&api, words).await, expected, "{words}");
    }
    assert_eq!(numbers(&api, &first.number.to_string()).await, one);
    let hit = found(&api, query("laskut")).await.hits.remove(0);
    assert!(hit.snippet.contains("lasku"), "{}", hit.snippet);
    let bad = api
        .search()
        .search_tickets(api.agent(query("\"open")))
        .await;
    assert_eq!(bad.unwrap_err().code(), Code::InvalidArgument);

    erase(&api, &first).await;
    // At once, and still when what the erasure left has been indexed.
    for _ in 0..2 {
        for words in ["tilaus", "aino*", "771*", "makela"] {
            assert_eq!(numbers(&api, words).await, Vec::<i64>::new(), "{words}");
        }
        indexed(&api).await;
    }
    assert_eq!(numbers(&api, "lasku").await, two);
}

async fn erase(api: &Api, ticket: &Ticket) {
    let contact = GetContactRequest {
        id: ticket.contact_id.to_string(),
    };
    let contact = api
        .contacts()
        .get_contact(api.agent(contact))
        .await
        .unwrap()
        .into_inner();
    let request = EraseContactRequest {
        contact_id: contact.id,
        confirm_display_name: contact.display_name,
    };
    api.contacts()
        .erase_contact(api.admin(request))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_goes_with_a_filter_in_pages_and_follows_merges() {
    let api = Api::new().await;
    let mut tickets = Vec::new();
    for n in 0..5 {
        let message = about(
            &format!("{n}@c.example"),
            &format!("{n}@d.example"),
            "Palaute",
            &format!("Kiitos palvelusta numero{n}"),
        );
        tickets.push(api.world.file(&message).await.unwrap());
    }
    api.world.set_status(tickets[0].id, "resolved").await;
    indexed(&api).await;
    let open = SearchTicketsRequest {
        filter: "open = true".to_owned(),
        page_size: 2,
        ..query("kiitos")
    };
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = SearchTicketsRequest {
            page_token: token,
            ..open.clone()
        };
        let page = found(&api, page).await;
        assert!(page.searched_back_to.is_none() && page.index_time.is_some());
        seen.extend(page.hits.iter().map(number));
        token = page.next_page_token;
        pages += 1;
        if token.is_empty() {
            break;
        }
    }
    seen.sort_unstable();
    let expected: Vec<i64> = tickets[1..].iter().map(|it| it.number).collect();
    assert_eq!((seen, pages), (expected, 2));

    let merge = MergeTicketsRequest {
        source_ids: vec![tickets[3].id.to_string()],
        target_id: tickets[4].id.to_string(),
        ..MergeTicketsRequest::default()
    };
    api.tickets().merge_tickets(api.agent(merge)).await.unwrap();
    assert_eq!(numbers(&api, "numero3").await, [tickets[4].number]);
    indexed(&api).await;
    assert_eq!(numbers(&api, "numero3").await, [tickets[4].number]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_other_scripts_and_forms_of_letters_are_found() {
    let api = Api::new().await;
    let mut found = Vec::new();
    for (n, text) in [
        "Maksoin laskun, mutta tuote ei ole saapunut.",
        "東京都の注文番号は12345です。荷物がまだ届きません。",
        "Our oﬃce sent ＳＯＬＭＵ a form",
        "주문번호를 찾을 수 없습니다",
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("{n}@c.example");
        let message = about(&id, &format!("{n}@d.example"), "Hei", text);
        found.push(api.world.file(&message).await.unwrap().number);
    }
    indexed(&api).await;
    for (words, place) in [
        ("maksaa", Some(0)),
        ("maksettu", Some(0)),
        ("saapua saapuu", Some(0)),
        ("東京", Some(1)),
        ("京都", Some(1)),
        ("注文番号", Some(1)),
        ("荷物 番号", Some(1)),
        ("都", Some(1)),
        ("\"注文番号は12345です\"", Some(1)),
        ("注文番", Some(1)),
        // These stand in it, and not side by side.
        ("東番", None),
        ("番注", None),
        ("\"注文 番号\"", None),
        ("office solmu", Some(2)),
        ("ｏｆｆｉｃｅ", Some(2)),
        ("번호", Some(3)),
        ("주문*", Some(3)),
    ] {
        let expected: Vec<i64> = place.map(|place: usize| found[place]).into_iter().collect();
        assert_eq!(numbers(&api, words).await, expected, "{words}");
    }
    let hit = self::found(&api, query("荷物")).await.hits.remove(0);
    assert!(hit.snippet.contains("荷物"), "{}", hit.snippet);
}

/// A filter that fits none of very many matches: the call ends, and says how far it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_common_word_is_searched_back_to_a_time_that_is_told() {
    let api = Api::new().await;
    let common = about("1@c.example", "a@c.example", "Hei", "tavallinen");
    let common = api.world.file(&common).await.unwrap();
    let rare = about("2@c.example", "b@d.example", "Hei", "tavallinen ja muuta");
    let rare = api.world.file(&rare).await.unwrap();
    indexed(&api).await;
    // Newer ones of the first ticket, some every day.
    sqlx::query(
        "INSERT INTO tickets.search_document (id, ticket_id, is_message, created_at, words)
         SELECT gen_random_uuid(), $1, true, at,
            format('''%s:tavallis''', span.id)::tsvector
         FROM generate_series(1, 5000) AS n, LATERAL (SELECT '2026-11-03T00:00:00Z'::timestamptz + n * interval '20 minutes'
            AS at) AS made, LATERAL (SELECT id FROM tickets.search_span WHERE starts <= at ORDER BY starts DESC LIMIT 1) AS span",
    )
    .bind(common.id)
    .execute(api.world.pool())
    .await
    .unwrap();
    let asked = SearchTicketsRequest {
        filter: format!("number != {}", common.number),
        ..query("tavallinen")
    };
    let first = found(&api, asked.clone()).await;
    assert!(first.hits.is_empty());
    let back_to = first.searched_back_to.unwrap();
    assert!(back_to.seconds > 1_793_664_000, "{back_to:?}");
    let second = SearchTicketsRequest {
        page_token: first.next_page_token,
        ..asked
    };
    let second = found(&api, second).await;
    let hits: Vec<i64> = second.hits.iter().map(number).collect();
    assert_eq!(hits, [rare.number]);
    assert!(second.next_page_token.is_empty() && second.searched_back_to.is_none());
    // Who asks for one ticket, or for those of a customer, has the answer at once: these are looked through instead.
    for filter in [
        format!("number = {}", rare.number),
        "requester_email = \"b@d.example\" AND open = true".to_owned(),
    ] {
        let asked = SearchTicketsRequest {
            filter,
            ..query("tavallinen")
        };
        let among = found(&api, asked).await;
        let hits: Vec<i64> = among.hits.iter().map(number).collect();
        assert_eq!(hits, [rare.number]);
        assert!(among.next_page_token.is_empty() && among.searched_back_to.is_none());
    }
    let page = |page_token: String| SearchTicketsRequest {
        filter: format!("number = {}", common.number),
        page_size: 1,
        page_token,
        ..query("tavallinen")
    };
    let first = found(&api, page(String::new())).await;
    assert_eq!(
        first.hits.iter().map(number).collect::<Vec<_>>(),
        [common.number]
    );
    assert!(first.next_page_token.is_empty(), "a ticket is one hit");
    // Without the filter the ticket that has them all is one hit.
    assert_eq!(numbers(&api, "tavallinen").await, [common.number]);
}

/// A document that PostgreSQL refuses is left out, and holds up nobody else's. One that is very long is found by what it
/// begins with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_cannot_be_indexed_holds_up_no_other() {
    let api = Api::new().await;
    let mut tickets = Vec::new();
    for (n, word) in ["poison", "endless", "healthy"].into_iter().enumerate() {
        let id = format!("{n}@c.example");
        let message = about(
            &id,
            &format!("{n}@d.example"),
            "Hei",
            &format!("sana {word}"),
        );
        tickets.push(api.world.file(&message).await.unwrap());
    }
    indexed(&api).await;
    assert_eq!(numbers(&api, "poison").await, [tickets[0].number]);
    // In one transaction, so that they are one batch: a list of files that is no list, and more words than an index
    // entry can have.
    let mut tx = api.world.pool().begin().await.unwrap();
    for (statement, ticket) in [
        (
            "UPDATE tickets.message SET attachments = '{}', author_name = 'x' WHERE ticket_id = $1",
            &tickets[0],
        ),
        (
            "UPDATE tickets.message SET body_text = 'alussa ' || (SELECT string_agg(md5(n::text), ' ')
                FROM generate_series(1, 60000) AS n) WHERE ticket_id = $1",
            &tickets[1],
        ),
        (
            "UPDATE tickets.message SET body_text = 'sana terve' WHERE ticket_id = $1",
            &tickets[2],
        ),
    ] {
        let done = sqlx::query(statement).bind(ticket.id).execute(&mut *tx).await;
        assert_eq!(done.unwrap().rows_affected(), 1);
    }
    tx.commit().await.unwrap();
    indexed(&api).await;
    assert_eq!(numbers(&api, "poison").await, Vec::<i64>::new());
    assert_eq!(numbers(&api, "alussa").await, [tickets[1].number]);
    assert_eq!(numbers(&api, "terve").await, [tickets[2].number]);
}
