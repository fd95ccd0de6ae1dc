//! Every channel in and out: what customers send becomes a ticket, what agents answer reaches them where they wrote.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use solmu_proto::{
    ticket::v1::{Message, Ticket},
    types::v1::{Channel, DeliveryState, TicketStatus},
};

use crate::support::{
    Api, Home, Letter, Ports, Relay, Settings, Smtp, Solmu, TELEGRAM_SECRET, Vendors, Visitor,
    WHATSAPP_SECRET, meta_signature, telegram_update, whatsapp_message, whatsapp_status,
};

/// What the built-in form demands between serving its page and taking its post.
const TIME_TRAP: Duration = Duration::from_millis(3_200);
const CUSTOMER: &str = "aino@customer.example";

struct World {
    api: Api,
    http: reqwest::Client,
    ports: Ports,
    relay: Relay,
    vendors: Vendors,
    // In the order of the end.
    solmu: Solmu,
    _home: Home,
}

impl World {
    async fn start() -> Self {
        let (home, ports) = (Home::new(), Ports::free());
        let (relay, vendors) = (Relay::start().await, Vendors::start().await);
        let settings = Settings {
            relay: Some(relay.address),
            vendors: Some(vendors.address),
            ..Settings::default()
        };
        settings.write(&home);
        let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
        let api = Api::agent(&home, &solmu);
        let http = reqwest::Client::builder().build().unwrap();
        Self {
            api,
            http,
            ports,
            relay,
            vendors,
            solmu,
            _home: home,
        }
    }

    async fn mail(&self, letter: &Letter) {
        let mut smtp = Smtp::open(self.ports.smtp).await.unwrap();
        let reply = smtp.send(letter).await.unwrap();
        assert_eq!(reply.code, 250, "{reply:?}");
    }

    async fn whatsapp(&self, body: Vec<u8>, signature: Option<String>) -> StatusCode {
        let mut request = self
            .http
            .post(self.ports.http_url("/webhooks/whatsapp/main"));
        if let Some(signature) = signature {
            request = request.header("X-Hub-Signature-256", signature);
        }
        request
            .header("Content-Type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap()
            .status()
    }

    async fn signed_whatsapp(&self, body: Vec<u8>) {
        let signature = meta_signature(WHATSAPP_SECRET, &body);
        assert_eq!(self.whatsapp(body, Some(signature)).await, StatusCode::OK);
    }

    async fn telegram(&self, update: &Value, secret: Option<&str>) -> StatusCode {
        let mut request = self
            .http
            .post(self.ports.http_url("/webhooks/telegram/bot"))
            .json(update);
        if let Some(secret) = secret {
            request = request.header("X-Telegram-Bot-Api-Secret-Token", secret);
        }
        request.send().await.unwrap().status()
    }

    async fn routed_on(&self, channel: Channel) -> Ticket {
        let what = format!("the message on {channel:?} is an owned ticket");
        let done = |ticket: &Ticket| {
            ticket.channels.first() == Some(&channel.into())
                && !ticket.assignee_id.is_empty()
                && ticket.next_due_time.is_some()
        };
        self.api.ticket(&what, done).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_channel_becomes_a_ticket_and_carries_the_answer() {
    let world = World::start().await;
    forged_messages_are_refused(&world).await;
    // The form's page must stand a few seconds before it is sent, so it is asked for first.
    let page = form_page(&world).await;
    mail_in_and_out(&world).await;
    whatsapp_in_and_out(&world).await;
    telegram_in_and_out(&world).await;
    chat_in_and_out(&world).await;
    form_in_and_out(&world, page).await;
    let tickets = world.api.tickets().await;
    let subjects: Vec<_> = tickets
        .iter()
        .map(|ticket| (ticket.number, ticket.subject.as_str()))
        .collect();
    assert_eq!(
        tickets.len(),
        6,
        "five, and the one after the closed one: {subjects:?}"
    );
    world.solmu.stop().await;
}

async fn forged_messages_are_refused(world: &World) {
    let body = || whatsapp_message("358405550100", "Mallory", "wamid.forged", "Let me in");
    assert_eq!(world.whatsapp(body(), None).await, StatusCode::UNAUTHORIZED);
    let wrong = meta_signature("another-secret", &body());
    assert_eq!(
        world.whatsapp(body(), Some(wrong)).await,
        StatusCode::FORBIDDEN
    );
    let of_another_body = meta_signature(WHATSAPP_SECRET, b"{}");
    assert_eq!(
        world.whatsapp(body(), Some(of_another_body)).await,
        StatusCode::FORBIDDEN
    );
    let update = telegram_update(1, 666, "Let me in");
    assert_eq!(
        world.telegram(&update, None).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        world.telegram(&update, Some("another-token")).await,
        StatusCode::FORBIDDEN
    );

    let mut smtp = Smtp::open(world.ports.smtp).await.unwrap();
    for stranger in [
        "nobody@desk.example",
        "support@elsewhere.example",
        "postmaster@relay.example",
    ] {
        assert_eq!(
            smtp.command(&format!("MAIL FROM:<{CUSTOMER}>"))
                .await
                .unwrap()
                .code,
            250
        );
        assert_eq!(
            smtp.command(&format!("RCPT TO:<{stranger}>"))
                .await
                .unwrap()
                .code,
            550,
            "{stranger}"
        );
        assert!(
            smtp.command("DATA").await.unwrap().code >= 500,
            "no mail without a recipient"
        );
        assert_eq!(smtp.command("RSET").await.unwrap().code, 250);
    }
    assert!(
        world.api.tickets().await.is_empty(),
        "nothing of it was filed"
    );
}

async fn mail_in_and_out(world: &World) {
    let letter = Letter::new(CUSTOMER, "Wrong size", "The boots are too small.");
    world.mail(&letter).await;
    let ticket = world.routed_on(Channel::Email).await;
    let answer = world.api.reply(&ticket.id, "Which size do you need?").await;
    let mail = world.relay.mail_with("Which size do you need?").await;
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("support@desk.example", &[CUSTOMER.to_owned()][..])
    );
    assert_eq!(
        mail.header("in-reply-to").unwrap(),
        format!("<{}>", letter.message_id)
    );
    assert!(
        mail.header("references")
            .unwrap()
            .contains(&letter.message_id),
        "{mail:?}"
    );
    assert_eq!(mail.header("subject").unwrap(), "Re: Wrong size");
    assert!(
        mail.reply_to().starts_with("support+t.") && mail.reply_to().ends_with("@desk.example"),
        "{mail:?}"
    );
    world.api.delivered(&answer, DeliveryState::Sent).await;

    // A client that threads by headers, from another mailbox of the same person.
    let mut reply = Letter::new("aino@home.example", "Re: Wrong size", "42, please.");
    reply.in_reply_to = Some(mail.message_id());
    world.mail(&reply).await;
    // A client that keeps no header at all, but writes to the address that it was told.
    let mut bare = Letter::new(CUSTOMER, "no subject", "And in brown.");
    bare.to = mail.reply_to();
    world.mail(&bare).await;
    let messages = world.api.with_messages(&ticket.id, 4).await;
    let texts: Vec<_> = messages.iter().map(|message| message.text.trim()).collect();
    assert_eq!(
        texts,
        [
            "The boots are too small.",
            "Which size do you need?",
            "42, please.",
            "And in brown."
        ]
    );
    let status = |ticket: &Ticket| ticket.status() == TicketStatus::CustomerReplied;
    world.api.ticket("the customer has replied", status).await;
    resolved_reopens_and_closed_does_not(world, &ticket, &bare.to).await;
}

async fn resolved_reopens_and_closed_does_not(world: &World, ticket: &Ticket, reply_to: &str) {
    world
        .api
        .set_status(&ticket.id, TicketStatus::Resolved)
        .await;
    let mut thanks = Letter::new(CUSTOMER, "Re: still", "Wait, the lace is torn.");
    reply_to.clone_into(&mut thanks.to);
    world.mail(&thanks).await;
    let reopened = |it: &Ticket| it.id == ticket.id && it.status() == TicketStatus::CustomerReplied;
    world
        .api
        .ticket("a reply reopens what was resolved", reopened)
        .await;

    world.api.set_status(&ticket.id, TicketStatus::Closed).await;
    let mut later = Letter::new(CUSTOMER, "Re: later", "A year later: the sole is off.");
    reply_to.clone_into(&mut later.to);
    world.mail(&later).await;
    let linked = |it: &Ticket| it.previous_ticket_id == ticket.id;
    let next = world
        .api
        .ticket("a reply to a closed ticket opens a linked one", linked)
        .await;
    assert_eq!(
        (next.contact_id.as_str(), next.message_count),
        (ticket.contact_id.as_str(), 1)
    );
    let closed = world
        .api
        .ticket("the closed one", |it| it.id == ticket.id)
        .await;
    assert_eq!(
        (closed.status(), closed.message_count),
        (TicketStatus::Closed, 5)
    );
}

async fn whatsapp_in_and_out(world: &World) {
    let body = whatsapp_message(
        "358405550101",
        "Pekka",
        "wamid.in.1",
        "Do you have it in blue?",
    );
    world.signed_whatsapp(body.clone()).await;
    // Meta sends again what it is not sure of.
    world.signed_whatsapp(body).await;
    let ticket = world.routed_on(Channel::Whatsapp).await;
    assert_eq!(ticket.contact_name, "Pekka");
    let answer = world.api.reply(&ticket.id, "Blue comes in May.").await;
    let call = world.vendors.call_with("Blue comes in May.").await;
    assert_eq!(call.to, "358405550101");
    world.api.delivered(&answer, DeliveryState::Sent).await;
    for (status, state) in [
        ("delivered", DeliveryState::Delivered),
        ("read", DeliveryState::Read),
    ] {
        world.signed_whatsapp(whatsapp_status(&call, status)).await;
        world.api.delivered(&answer, state).await;
    }
    // A late report of an earlier state moves nothing back; the next message shows that it was looked at.
    world.signed_whatsapp(whatsapp_status(&call, "sent")).await;
    world
        .signed_whatsapp(whatsapp_message(
            "358405550101",
            "Pekka",
            "wamid.in.2",
            "Thanks",
        ))
        .await;
    let messages = world.api.with_messages(&ticket.id, 3).await;
    let found = |message: &&Message| message.id == answer.id;
    assert_eq!(
        messages.iter().find(found).unwrap().delivery_state(),
        DeliveryState::Read
    );
}

async fn telegram_in_and_out(world: &World) {
    let update = telegram_update(77, 4_242, "Is the shop open on Sunday?");
    for _ in 0..2 {
        assert_eq!(
            world.telegram(&update, Some(TELEGRAM_SECRET)).await,
            StatusCode::OK
        );
    }
    let ticket = world.routed_on(Channel::Telegram).await;
    assert_eq!(
        (ticket.contact_name.as_str(), ticket.message_count),
        ("Emma", 1)
    );
    let answer = world.api.reply(&ticket.id, "From noon to four.").await;
    assert_eq!(
        world.vendors.call_with("From noon to four.").await.to,
        "4242"
    );
    world.api.delivered(&answer, DeliveryState::Sent).await;
}

async fn chat_in_and_out(world: &World) {
    let mut visitor = Visitor::open(world.ports.http, None, 0).await;
    visitor.say("first", "Can I change my address?").await;
    let ticket = world.routed_on(Channel::Chat).await;
    let answer = world
        .api
        .reply(&ticket.id, "Of course: what is the new one?")
        .await;
    let pushed = visitor.answer().await;
    assert_eq!(pushed["body"]["text"], "Of course: what is the new one?");
    visitor.acknowledge(pushed["seq"].as_i64().unwrap()).await;
    world.api.delivered(&answer, DeliveryState::Delivered).await;

    // The line breaks; what was said meanwhile is there when the visitor comes back.
    let (session, seen) = (visitor.session.clone(), pushed["seq"].as_i64().unwrap());
    drop(visitor);
    world.api.reply(&ticket.id, "Are you still there?").await;
    let mut visitor = Visitor::open(world.ports.http, Some(&session), seen).await;
    assert_eq!(
        visitor.answer().await["body"]["text"],
        "Are you still there?"
    );
    // The visitor's side does not know whether its first message came through, and says it again.
    visitor.say("first", "Can I change my address?").await;
    visitor.say("second", "Yes. Kauppakatu 1.").await;
    let messages = world.api.with_messages(&ticket.id, 4).await;
    assert_eq!(messages.len(), 4);
}

/// The form as it was served, and when.
async fn form_page(world: &World) -> (Value, Instant) {
    let url = world.ports.http_url("/forms/contact");
    let page = world
        .http
        .get(url)
        .header("Accept", "application/json")
        .send()
        .await
        .unwrap();
    (page.json().await.unwrap(), Instant::now())
}

async fn form_in_and_out(world: &World, (page, served): (Value, Instant)) {
    let url = world.ports.http_url("/forms/contact");
    let fields = json!({
        "_token": page["_token"], "name": "Liisa", "email": "liisa@form.example",
        "subject": "Opening hours", "message": "When do you open?",
    });
    let mut wrong = fields.clone();
    wrong["email"] = json!("not an address");
    let refused = world.http.post(&url).json(&wrong).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let said: Value = refused.json().await.unwrap();
    assert_eq!(said["errors"][0]["field"], "email", "{said}");
    // No person is quicker; the limit on posts of one address forbids to try and see.
    tokio::time::sleep_until((served + TIME_TRAP).into()).await;
    for _ in 0..2 {
        let taken = world.http.post(&url).json(&fields).send().await.unwrap();
        assert_eq!(
            taken.status(),
            StatusCode::CREATED,
            "a double click is one message"
        );
    }
    let ticket = world.routed_on(Channel::Form).await;
    assert_eq!(
        (ticket.subject.as_str(), ticket.contact_name.as_str()),
        ("Opening hours", "Liisa")
    );
    assert_eq!(ticket.message_count, 1);
    let answer = world.api.reply(&ticket.id, "At nine.").await;
    let mail = world.relay.mail_with("At nine.").await;
    assert_eq!(mail.to, ["liisa@form.example"]);
    world.api.delivered(&answer, DeliveryState::Sent).await;
}
